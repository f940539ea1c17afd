#include "plugins/serial/framings.h"
#include "plugins/serial/start_framing.h"

namespace penstock::serial {
namespace {

constexpr char kStx = 0x02;
constexpr char kEtx = 0x03;

class StxEtxFraming final : public StartFraming {
 public:
  explicit StxEtxFraming(size_t max_bytes) : StartFraming(max_bytes) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    for (const char byte : bytes) {
      if (byte == kStx) {
        begin();
      } else if (state_ == State::kInside && byte != kEtx) {
        push(byte);
      } else if (state_ == State::kInside) {
        if (!buffer_.empty()) out.push_back({buffer_.take(), at.wall_us});
        state_ = State::kOutside;
      } else if (state_ == State::kSkipping && byte == kEtx) {
        state_ = State::kOutside;
      } else if (byte != '\r' && byte != '\n') {
        stray();
      }
    }
  }
};

}  // namespace

std::unique_ptr<Framing> make_stx_etx_framing(size_t max_bytes) {
  return std::make_unique<StxEtxFraming>(max_bytes);
}

}  // namespace penstock::serial
