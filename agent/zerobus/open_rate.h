// OpenRate: how many streams have been opened to a table in the last minute, and when the next one
// may follow. A search for refused records opens streams without backoff; this keeps it from
// flooding the service.
//
// Pure; shared by the sessions of a table, on one thread.
#pragma once

#include <algorithm>
#include <deque>

#include "agent/base/clock.h"

namespace penstock::zerobus {

class OpenRate {
 public:
  // `per_minute` at least 1.
  explicit OpenRate(int per_minute) : limit_(static_cast<size_t>(per_minute)) {}

  void opened(MonoTime now) {
    if (opened_.size() == limit_) opened_.pop_front();
    opened_.push_back(now);
  }
  // How long to wait before the next; 0: none.
  Millis wait(MonoTime now) const {
    if (opened_.size() < limit_) return Millis(0);
    const auto left = opened_.front() + Millis(60'000) - now;
    return std::max(Millis(0), std::chrono::ceil<Millis>(left));
  }

 private:
  const size_t limit_;
  std::deque<MonoTime> opened_;  // the newest `limit_`
};

}  // namespace penstock::zerobus
