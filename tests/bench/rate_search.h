// The highest rate at which a trial still succeeds.
#pragma once

#include <algorithm>
#include <optional>

namespace penstock::bench {

// What a trial at a rate came to: the rate it really had, or nothing when something was lost.
using Trial = std::optional<double>;

// Goes from `start` in steps of 20 % to the border, then halves the last step twice. The best real
// rate; 0 when nothing succeeds above 1,000 a second. `trial(rate)` is called 4 to 12 times or so.
// A trial that is much slower than it was asked to be is the end of what the generator can do.
template <class TrialAt>
double highest_rate(double start, TrialAt trial) {
  constexpr double kStep = 1.2;
  constexpr double kLowest = 1000;
  double best = 0;
  double low = 0;
  double high = 0;
  for (double rate = start; rate >= kLowest;) {
    const Trial real = trial(rate);
    if (real) {
      best = std::max(best, *real);
      low = rate;
      if (high > 0 || *real < rate * 0.9) break;
      rate *= kStep;
    } else {
      high = rate;
      if (low > 0) break;
      rate /= kStep;
    }
  }
  for (int i = 0; i < 2 && low > 0 && high > low; ++i) {
    const double rate = (low + high) / 2;
    const Trial real = trial(rate);
    (real ? low : high) = rate;
    if (real) best = std::max(best, *real);
  }
  return best;
}

}  // namespace penstock::bench
