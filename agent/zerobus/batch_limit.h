// BatchLimit: how large a batch may be so that its ack can arrive in time. On a link where 256 KiB
// take longer than the ack timeout, sending the same batch again would never get through; so each
// timeout halves the limit, and each ack lets it grow back slowly. The same for a server that calls
// a batch too large.
//
// Pure, one owner (a StreamSession).
#pragma once

#include <algorithm>
#include <cstddef>

namespace penstock::zerobus {

class BatchLimit {
 public:
  explicit BatchLimit(size_t max_bytes) : max_(max_bytes), bytes_(max_bytes) {}

  size_t bytes() const { return bytes_; }
  void too_large() { timed_out(); }
  void timed_out() { bytes_ = std::min(max_, std::max(kFloor, bytes_ / 2)); }
  void delivered() { bytes_ = std::min(max_, bytes_ + bytes_ / 16 + 1); }

 private:
  static constexpr size_t kFloor = 4 << 10;
  size_t max_;
  size_t bytes_;
};

}  // namespace penstock::zerobus
