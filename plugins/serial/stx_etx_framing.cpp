#include "plugins/serial/frame_buffer.h"
#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

constexpr char kStx = 0x02;
constexpr char kEtx = 0x03;

class StxEtxFraming final : public Framing {
 public:
  explicit StxEtxFraming(size_t max_bytes) : buffer_(max_bytes) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    for (const char byte : bytes) {
      if (byte == kStx) {
        if (state_ == State::kInside) ++counts_.resyncs;  // the frame before lost its end
        buffer_.clear();
        state_ = State::kInside;
      } else if (state_ == State::kInside) {
        inside(byte, at, out);
      } else if (state_ == State::kSkipping) {
        if (byte == kEtx) state_ = State::kOutside;
      } else if (state_ == State::kOutside && byte != '\r' && byte != '\n') {
        ++counts_.resyncs;
        state_ = State::kNoise;
      }
    }
  }

 protected:
  bool has_partial() const override { return state_ == State::kInside; }
  void reset() override {
    buffer_.clear();
    state_ = State::kOutside;
  }

 private:
  enum class State {
    kOutside,
    kNoise,  // outside, and the noise is counted
    kInside,
    kSkipping,  // inside a frame over the limit
  };

  void inside(char byte, Instant at, std::vector<Frame>& out) {
    if (byte == kEtx) {
      if (!buffer_.empty()) out.push_back({buffer_.take(), at.wall_us});
      state_ = State::kOutside;
    } else if (!buffer_.push(byte)) {
      ++counts_.oversize_frames;
      state_ = State::kSkipping;
    }
  }

  FrameBuffer buffer_;
  State state_ = State::kOutside;
};

}  // namespace

std::unique_ptr<Framing> make_stx_etx_framing(size_t max_bytes) {
  return std::make_unique<StxEtxFraming>(max_bytes);
}

}  // namespace penstock::serial
