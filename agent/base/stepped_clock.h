// A wall clock that somebody sets while the program runs. The unit's sandbox does not let the
// kernel be asked whether the time is synchronised (adjtimex), and only systemd-timesyncd leaves a
// sign in the filesystem. But on a machine without a clock of its own the time is wrong at first,
// and every time service (chrony: makestep) steps it then: that can be seen.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>

#include "agent/base/wall_clock.h"

namespace penstock {

// Whether the clock can be believed, for one run. Any thread.
class SteppedClock {
 public:
  // `wall_us`: now. `marker`: made when a step is seen, for the next run within this boot, so it
  // belongs in a directory that a boot empties; empty: none.
  SteppedClock(std::filesystem::path marker, int64_t wall_us,
               ClockTrust::Ask is_set = wall_clock_is_set);

  // What `is_set` says; or it was stepped by two seconds or more since the beginning, either way,
  // to a time that is later than the making of this program. `wall_us`: now. A few system calls.
  bool is_set(int64_t wall_us);

 private:
  const std::filesystem::path marker_;
  const int64_t ahead_us_;  // of the time since the boot
  const ClockTrust::Ask is_set_;
  std::atomic<bool> stepped_;
};

}  // namespace penstock
