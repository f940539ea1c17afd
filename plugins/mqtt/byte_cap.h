// How many bytes were handed to the host and are not durable yet. Pure; one thread (the gate's).
//
// Brokers overshoot every window that MQTT lets us ask for (mosquitto 2.0.11 sends up to a window
// for each PUBACK when it drains a backlog), so the bound on memory is counted here. Marks pair a
// byte total with the sequence number that covers it; marks closer than 1/64 of the limit are
// merged, so their number is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace penstock::mqtt {

class ByteCap {
 public:
  explicit ByteCap(uint64_t limit_bytes) : limit_(limit_bytes) {}

  // All of `total_bytes` belongs to records up to `seq`. Neither ever goes back.
  void note(uint64_t seq, uint64_t total_bytes) {
    if (!marks_.empty() && total_bytes - previous_bytes() <= limit_ / 64) {
      marks_.back() = {seq, total_bytes};
    } else if (total_bytes > (marks_.empty() ? durable_bytes_ : marks_.back().total_bytes)) {
      marks_.push_back({seq, total_bytes});
    }
  }

  void durable(uint64_t up_to) {
    while (!marks_.empty() && marks_.front().seq <= up_to) {
      durable_bytes_ = marks_.front().total_bytes;
      marks_.pop_front();
    }
  }

  uint64_t pending(uint64_t total_bytes) const { return total_bytes - durable_bytes_; }
  bool over(uint64_t total_bytes) const { return pending(total_bytes) > limit_; }

 private:
  struct Mark {
    uint64_t seq;
    uint64_t total_bytes;
  };
  uint64_t previous_bytes() const {
    return marks_.size() > 1 ? marks_[marks_.size() - 2].total_bytes : durable_bytes_;
  }

  uint64_t limit_;
  uint64_t durable_bytes_ = 0;
  std::deque<Mark> marks_;
};

}  // namespace penstock::mqtt
