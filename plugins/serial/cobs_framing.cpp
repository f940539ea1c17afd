#include "plugins/serial/frame_buffer.h"
#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

constexpr unsigned char kFullBlock = 0xFF;  // 254 bytes without a zero, and none implied after them

class CobsFraming final : public Framing {
 public:
  explicit CobsFraming(size_t max_bytes) : buffer_(max_bytes) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    for (const char byte : bytes) {
      if (byte == 0) {
        finish(at, out);
      } else if (skipping_) {
        continue;
      } else if (block_left_ > 0) {
        --block_left_;
        push(byte);
      } else {
        begin_block(static_cast<unsigned char>(byte));
      }
    }
  }

 protected:
  bool has_partial() const override { return started_ && !skipping_; }
  void reset() override {
    buffer_.clear();
    block_left_ = 0;
    started_ = zero_implied_ = skipping_ = false;
  }

 private:
  void begin_block(unsigned char code) {
    started_ = true;
    if (zero_implied_) push(0);  // only now: the zero after the last block is not part of the frame
    block_left_ = code - 1;
    zero_implied_ = code != kFullBlock;
  }

  void push(char byte) {
    if (buffer_.push(byte)) return;
    ++counts_.oversize_frames;
    skipping_ = true;
  }

  void finish(Instant at, std::vector<Frame>& out) {
    if (!skipping_) {
      if (block_left_ > 0) {
        ++counts_.resyncs;  // the block promised more bytes: some were lost
      } else if (!buffer_.empty()) {
        out.push_back({buffer_.take(), at.wall_us});
      }
    }
    reset();
  }

  FrameBuffer buffer_;
  int block_left_ = 0;
  bool started_ = false;
  bool zero_implied_ = false;
  bool skipping_ = false;  // over the limit, until the next zero
};

}  // namespace

std::unique_ptr<Framing> make_cobs_framing(size_t max_bytes) {
  return std::make_unique<CobsFraming>(max_bytes);
}

}  // namespace penstock::serial
