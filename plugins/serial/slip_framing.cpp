#include "plugins/serial/frame_buffer.h"
#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

// RFC 1055, "SLIP protocol".
constexpr char kEnd = static_cast<char>(0xC0);
constexpr char kEsc = static_cast<char>(0xDB);
constexpr char kEscEnd = static_cast<char>(0xDC);
constexpr char kEscEsc = static_cast<char>(0xDD);

class SlipFraming final : public Framing {
 public:
  explicit SlipFraming(size_t max_bytes) : buffer_(max_bytes) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    for (const char byte : bytes) {
      if (byte == kEnd) {
        finish(at, out);
      } else if (skipping_) {
        continue;
      } else if (escaped_) {
        unescape(byte);
      } else if (byte == kEsc) {
        escaped_ = true;
      } else {
        push(byte);
      }
    }
  }

 protected:
  bool has_partial() const override { return !skipping_ && (escaped_ || !buffer_.empty()); }
  void reset() override {
    buffer_.clear();
    escaped_ = skipping_ = false;
  }

 private:
  void unescape(char byte) {
    escaped_ = false;
    if (byte == kEscEnd) {
      push(kEnd);
    } else if (byte == kEscEsc) {
      push(kEsc);
    } else {
      lose();
    }
  }

  void push(char byte) {
    if (buffer_.push(byte)) return;
    ++counts_.oversize_frames;
    skipping_ = true;
  }

  void lose() {
    ++counts_.resyncs;
    buffer_.clear();
    skipping_ = true;
  }

  void finish(Instant at, std::vector<Frame>& out) {
    if (escaped_) lose();
    if (!buffer_.empty()) out.push_back({buffer_.take(), at.wall_us});
    reset();
  }

  FrameBuffer buffer_;
  bool escaped_ = false;
  bool skipping_ = false;  // until the next END; counted already
};

}  // namespace

std::unique_ptr<Framing> make_slip_framing(size_t max_bytes) {
  return std::make_unique<SlipFraming>(max_bytes);
}

}  // namespace penstock::serial
