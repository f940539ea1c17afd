#include <algorithm>
#include <utility>

#include "plugins/serial/framings.h"

namespace penstock::serial {
namespace {

class DelimiterFraming final : public Framing {
 public:
  DelimiterFraming(std::string delimiter, bool strip_cr, size_t max_bytes)
      : delimiter_(std::move(delimiter)),
        strip_cr_(strip_cr),
        max_bytes_(max_bytes),
        // A frame of exactly max_bytes may be followed by all of its end but one byte.
        hold_bytes_(max_bytes + delimiter_.size() - 1 + (strip_cr ? 1 : 0)) {}

  void feed(std::string_view bytes, Instant at, std::vector<Frame>& out) override {
    // In pieces, so that the buffer stays bounded however much is fed at once.
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, hold_bytes_);
      buffer_.append(piece);
      bytes.remove_prefix(piece.size());
      scan(at, out);
    }
  }

 protected:
  bool has_partial() const override { return !skipping_ && !buffer_.empty(); }
  void reset() override {
    buffer_.clear();
    searched_ = 0;
    skipping_ = false;
  }

 private:
  void scan(Instant at, std::vector<Frame>& out) {
    size_t start = 0;
    size_t end;
    while ((end = buffer_.find(delimiter_, std::max(start, searched_))) != std::string::npos) {
      finish(std::string_view(buffer_).substr(start, end - start), at, out);
      start = searched_ = end + delimiter_.size();
    }
    buffer_.erase(0, start);
    if (!skipping_ && buffer_.size() > hold_bytes_) {
      ++counts_.oversize_frames;
      skipping_ = true;
    }
    // The end of the buffer may be the beginning of a delimiter; of a frame that is skipped nothing
    // else is needed.
    const size_t keep = std::min(buffer_.size(), delimiter_.size() - 1);
    if (skipping_) buffer_.erase(0, buffer_.size() - keep);
    searched_ = buffer_.size() - keep;
  }

  void finish(std::string_view frame, Instant at, std::vector<Frame>& out) {
    if (skipping_) {
      skipping_ = false;
      return;
    }
    if (strip_cr_ && frame.ends_with('\r')) frame.remove_suffix(1);
    if (frame.size() > max_bytes_) {
      ++counts_.oversize_frames;
    } else if (!frame.empty()) {
      out.push_back({std::string(frame), at.wall_us});
    }
  }

  const std::string delimiter_;
  const bool strip_cr_;
  const size_t max_bytes_;
  const size_t hold_bytes_;
  std::string buffer_;
  size_t searched_ = 0;  // no delimiter begins before this
  bool skipping_ = false;
};

}  // namespace

std::unique_ptr<Framing> make_delimiter_framing(std::string delimiter, bool strip_cr,
                                                size_t max_bytes) {
  return std::make_unique<DelimiterFraming>(std::move(delimiter), strip_cr, max_bytes);
}

}  // namespace penstock::serial
