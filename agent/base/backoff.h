// Exponential backoff with full jitter: a delay drawn from [0, min(max, min * 2^failures)], never
// less than `floor`.
//
// Pure: the random number is a parameter. Never gives up; reset() after a success. One owner, no
// lock.
#pragma once

#include <algorithm>

#include "agent/base/clock.h"

namespace penstock {

class Backoff {
 public:
  Backoff(Millis min, Millis max) : min_(min), max_(max) {}

  // The next delay; `random` in [0, 1). Each call counts as one failure.
  Millis next(double random) {
    const auto ceiling = std::min(max_, min_ * (int64_t{1} << std::min(failures_, 20)));
    ++failures_;
    return std::max(kFloor,
                    Millis(static_cast<int64_t>(static_cast<double>(ceiling.count()) * random)));
  }
  void reset() { failures_ = 0; }
  int failures() const { return failures_; }

 private:
  static constexpr Millis kFloor{50};  // a refused connection must not become a busy loop
  Millis min_;
  Millis max_;
  int failures_ = 0;
};

}  // namespace penstock
