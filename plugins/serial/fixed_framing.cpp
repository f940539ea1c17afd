#include <utility>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

class FixedFraming final : public Framing {
 public:
  FixedFraming(size_t length, int64_t gap_us) : length_(length), gap_us_(gap_us) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    last_us_ = at.mono_us;
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, length_ - partial_.size());
      partial_.append(piece);
      bytes.remove_prefix(piece.size());
      if (partial_.size() == length_) out.push_back({std::exchange(partial_, {}), at.wall_us});
    }
  }

  std::optional<int64_t> deadline_us() const override {
    if (partial_.empty()) return std::nullopt;
    return last_us_ + gap_us_;
  }

  void on_time(Instant now, std::vector<Frame>&) override {
    if (partial_.empty() || now.mono_us < last_us_ + gap_us_) return;
    ++counts_.resyncs;
    partial_.clear();
  }

 protected:
  bool has_partial() const override { return !partial_.empty(); }
  void reset() override { partial_.clear(); }

 private:
  const size_t length_;
  const int64_t gap_us_;
  std::string partial_;
  int64_t last_us_ = 0;
};

}  // namespace

std::unique_ptr<Framing> make_fixed_framing(size_t length, int64_t gap_us) {
  return std::make_unique<FixedFraming>(length, gap_us);
}

}  // namespace penstock::serial
