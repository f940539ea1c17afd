// Whether the wall clock can be believed. A gateway without a battery-backed clock starts with the
// time of its last shutdown, or 1970, until a time service sets it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "agent/base/clock.h"
#include "agent/base/record.h"

namespace penstock {

// This program is not older: 2026-01-01.
inline constexpr int64_t kEarliestWallUs = 1'767'225'600'000'000;

// It is later than the making of this program, and the kernel says that it is synchronised, or
// systemd-timesyncd does (the unit's sandbox does not let the kernel be asked), or the machine has
// a clock of its own. What a sandboxed program sees of other time services: stepped_clock.h. Any
// thread; a few system calls.
bool wall_clock_is_set(int64_t wall_us);

// What the clock was worth at a moment. A clock that was set once stays so for this run; until
// then it is asked at most once a second. Any thread.
class ClockTrust {
 public:
  using Ask = std::function<bool(int64_t wall_us)>;
  explicit ClockTrust(Ask is_set = wall_clock_is_set) : is_set_(std::move(is_set)) {}

  TimeQuality at(const Now& now);

 private:
  const Ask is_set_;
  std::atomic<bool> was_set_{false};
  std::atomic<MonoTime::rep> ask_again_{MonoTime::min().time_since_epoch().count()};
};

// `ask`, but at most once a second; in between its last answer, unless the time told is from before
// this program was made. For who wants to know all the time. Any thread.
ClockTrust::Ask asked_rarely(
    ClockTrust::Ask ask,
    std::function<MonoTime()> mono = [] { return std::chrono::steady_clock::now(); });

}  // namespace penstock
