#include <utility>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

class IdleGapFraming final : public Framing {
 public:
  IdleGapFraming(size_t max_bytes, int64_t gap_us) : max_bytes_(max_bytes), gap_us_(gap_us) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    on_time(at, out);
    if (bytes.empty()) return;
    last_ = at;
    busy_ = true;
    if (skipping_) return;
    if (partial_.size() + bytes.size() > max_bytes_) {
      ++counts_.oversize_frames;
      skipping_ = true;
      partial_.clear();
    } else {
      partial_.append(bytes);
    }
  }

  std::optional<int64_t> deadline_us() const override {
    if (!busy_) return std::nullopt;
    return last_.mono_us + gap_us_;
  }

  void on_time(Instant now, std::vector<Frame>& out) override {
    if (!busy_ || now.mono_us < last_.mono_us + gap_us_) return;
    if (!skipping_) out.push_back({std::exchange(partial_, {}), last_.wall_us});
    reset();
  }

 protected:
  bool has_partial() const override { return busy_ && !skipping_; }
  void reset() override {
    partial_.clear();
    busy_ = skipping_ = false;
  }

 private:
  const size_t max_bytes_;
  const int64_t gap_us_;
  std::string partial_;
  Instant last_;
  bool busy_ = false;      // bytes came and no gap since
  bool skipping_ = false;  // over the limit, until the next gap
};

}  // namespace

std::unique_ptr<Framing> make_idle_gap_framing(size_t max_bytes, int64_t gap_us) {
  return std::make_unique<IdleGapFraming>(max_bytes, gap_us);
}

}  // namespace penstock::serial
