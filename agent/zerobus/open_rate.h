// OpenRate: how many streams have been opened to a table in the last minute, and when the next one
// may follow. A search for refused records opens streams without backoff; this keeps it from
// flooding the service. Streams that are opened for another reason count, but do not wait: so that
// they do not keep a search for ever, one that has waited for a minute waits for other searches
// only.
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

  void opened(MonoTime now, bool by_search = false) {
    note(all_, now);
    if (by_search) note(searches_, now);
  }
  // How long a search that has waited since `since` has to wait before its next; 0: no longer.
  Millis wait(MonoTime now, MonoTime since) const {
    const MonoTime free =
        std::min(free_at(all_, now), std::max(since + kMinute, free_at(searches_, now)));
    return std::max(Millis(0), std::chrono::ceil<Millis>(free - now));
  }
  Millis wait(MonoTime now) const { return wait(now, now); }

 private:
  static constexpr Millis kMinute{60'000};

  void note(std::deque<MonoTime>& times, MonoTime now) const {
    if (times.size() == limit_) times.pop_front();
    times.push_back(now);
  }
  MonoTime free_at(const std::deque<MonoTime>& times, MonoTime now) const {
    return times.size() < limit_ ? now : times.front() + kMinute;
  }

  const size_t limit_;
  std::deque<MonoTime> all_;  // the newest `limit_`
  std::deque<MonoTime> searches_;
};

}  // namespace penstock::zerobus
