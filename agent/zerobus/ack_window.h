// AckWindow: the batches sent on one stream and not yet acknowledged, by wire offset.
//
// Pure, one owner (a StreamSession). A stream begins with a fresh window, so an ack can only ever
// release what that stream sent. Offsets count from 0 by 1; acks are cumulative and inclusive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "agent/base/result.h"

namespace penstock::zerobus {

// A batch as the session sees it: whole records of one lane, in order. The bytes stay with the
// driver.
struct BatchInfo {
  uint64_t first_seq = 0;  // lane sequence of its first record
  uint64_t last_seq = 0;   // and of its last; records between that yield no row are covered too
  uint32_t rows = 0;
  size_t bytes = 0;  // of the encoded body
};

class AckWindow {
 public:
  // Takes the next offset for `batch`.
  int64_t sent(const BatchInfo& batch);

  // The newest `count` were not sent after all, at most as many as are unacknowledged.
  void take_back(size_t count);

  // Applies a server's ack. Returns the lane sequence up to which records are now acknowledged, or
  // nullopt when the ack repeats the last one. kTransient, and nothing released, when it goes back
  // or beyond what was sent.
  Result<std::optional<uint64_t>> ack(int64_t up_to);

  bool empty() const { return unacked_.empty(); }
  size_t count() const { return unacked_.size(); }
  size_t bytes() const { return bytes_; }
  bool delivered() const {
    return last_acked_ >= 0;
  }  // at least one request of this stream was acknowledged
  // The oldest and newest unacknowledged batch; only when not empty.
  const BatchInfo& front() const { return unacked_.front(); }
  const BatchInfo& back() const { return unacked_.back(); }

 private:
  std::deque<BatchInfo> unacked_;  // of offsets last_acked_ + 1 ... next_offset_ - 1
  int64_t next_offset_ = 0;
  int64_t last_acked_ = -1;
  size_t bytes_ = 0;
};

}  // namespace penstock::zerobus
