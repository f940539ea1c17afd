#include <utility>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

// A length this many times over the limit is no long frame but a prefix read at the wrong place.
constexpr uint64_t kUnbelievableFactor = 16;

class LengthPrefixFraming final : public Framing {
 public:
  LengthPrefixFraming(int prefix_bytes, bool little_endian, size_t max_bytes, int64_t gap_us)
      : prefix_bytes_(static_cast<size_t>(prefix_bytes)),
        little_endian_(little_endian),
        max_bytes_(max_bytes),
        gap_us_(gap_us) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    last_us_ = at.mono_us;
    while (!bytes.empty()) {
      if (missing_ == 0) {
        prefix_.push_back(bytes.front());
        bytes.remove_prefix(1);
        if (prefix_.size() == prefix_bytes_) take_prefix();
        continue;
      }
      const auto piece = bytes.substr(0, missing_);
      if (!skipping_) body_.append(piece);
      bytes.remove_prefix(piece.size());
      missing_ -= piece.size();
      if (missing_ == 0) finish(at, out);
    }
  }

  std::optional<int64_t> deadline_us() const override {
    if (prefix_.empty() && missing_ == 0) return std::nullopt;
    return last_us_ + gap_us_;
  }

  void on_time(Instant now, std::vector<Frame>&) override {
    const auto deadline = deadline_us();
    if (!deadline || now.mono_us < *deadline) return;
    if (has_partial()) ++counts_.resyncs;
    reset();
  }

 protected:
  // A frame that is skipped and bytes searched for a length are counted already.
  bool has_partial() const override {
    return !skipping_ && !hunting_ && (!prefix_.empty() || missing_ > 0);
  }
  void reset() override {
    prefix_.clear();
    body_.clear();
    missing_ = 0;
    skipping_ = hunting_ = false;
  }

 private:
  uint64_t prefix_value() const {
    uint64_t value = 0;
    for (size_t i = 0; i < prefix_bytes_; ++i) {
      const size_t at = little_endian_ ? prefix_bytes_ - 1 - i : i;
      value = value << 8 | static_cast<unsigned char>(prefix_[at]);
    }
    return value;
  }

  void take_prefix() {
    const uint64_t length = prefix_value();
    if (length > max_bytes_ * kUnbelievableFactor) {
      if (!hunting_) ++counts_.resyncs;
      hunting_ = true;
      prefix_.erase(0, 1);
      return;
    }
    prefix_.clear();
    hunting_ = false;
    missing_ = length;
    skipping_ = length > max_bytes_;
    if (skipping_) ++counts_.oversize_frames;
  }

  void finish(Instant at, std::vector<Frame>& out) {
    if (!skipping_) out.push_back({std::exchange(body_, {}), at.wall_us});
    skipping_ = false;
  }

  const size_t prefix_bytes_;
  const bool little_endian_;
  const uint64_t max_bytes_;
  const int64_t gap_us_;
  std::string prefix_;
  std::string body_;
  uint64_t missing_ = 0;   // bytes of the body still to come
  bool skipping_ = false;  // the body is over the limit
  bool hunting_ = false;   // the place was lost
  int64_t last_us_ = 0;
};

}  // namespace

std::unique_ptr<Framing> make_length_prefix_framing(int prefix_bytes, bool little_endian,
                                                    size_t max_bytes, int64_t gap_us) {
  return std::make_unique<LengthPrefixFraming>(prefix_bytes, little_endian, max_bytes, gap_us);
}

}  // namespace penstock::serial
