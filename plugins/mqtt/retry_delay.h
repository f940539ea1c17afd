// The delay before the next connection: exponential, capped, with jitter between half of it and all
// of it, never giving up. Pure: the random number is a parameter. One owner, no lock.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace penstock::mqtt {

class RetryDelay {
 public:
  using Millis = std::chrono::milliseconds;
  RetryDelay(Millis min, Millis max) : min_(min), max_(max) {}

  // `random` in [0, 1). Each call counts as one failure.
  Millis next(double random) {
    const auto whole = std::min(max_, min_ * (int64_t{1} << std::min(failures_, 20)));
    ++failures_;
    const auto half = static_cast<double>(whole.count()) / 2;
    return Millis(static_cast<int64_t>(half + half * random));
  }
  void reset() { failures_ = 0; }

 private:
  Millis min_;
  Millis max_;
  int failures_ = 0;
};

}  // namespace penstock::mqtt
