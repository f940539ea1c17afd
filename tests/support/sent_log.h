// What a feeder has sent: for every counter value the wall time (microseconds UTC) at which it
// counted as sent. For MQTT that is the broker's PUBACK, for UDP and serial the write. Thread-safe;
// written by a feeder, read by the judge.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

namespace penstock::test {

class SentLog {
 public:
  void add(uint64_t n, int64_t at_us) {
    const std::lock_guard lock(mutex_);
    sent_.emplace(n, at_us);
  }
  std::map<uint64_t, int64_t> snapshot() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return sent_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::map<uint64_t, int64_t> sent_;
};

}  // namespace penstock::test
