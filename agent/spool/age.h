// How old a stored segment is, although clocks jump, are set late, or are lost at a power cut.
//
// A mark says for all segments from some id on, up to the next mark: the boot they were taken in,
// what the wall clock was ahead of that boot's monotonic clock, and whether the wall clock was set.
// A new mark is made when one of them changes. Within a boot an age is the difference of monotonic
// times; across boots it is by wall clocks, corrected with what the clock of the old boot was last
// known to be. What was taken before the clock was set has no age. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"

namespace penstock::spool {

struct ClockReading {
  std::string boot;     // changes with every boot of the machine
  int64_t boot_us = 0;  // since then, time asleep included
  int64_t wall_us = 0;  // since 1970-01-01 UTC, as the system believes
  bool is_set = false;  // the wall clock can be believed
};
// Of this machine; `is_set` is asked about its wall_us.
ClockReading clock_reading(const std::function<bool(int64_t)>& is_set);
// By base/wall_clock.h.
ClockReading read_clock_reading();

struct ClockMark {
  int64_t first_segment = 0;
  std::string boot;
  int64_t offset_us = 0;  // wall - monotonic
  bool is_set = false;
  bool operator==(const ClockMark&) const = default;
};

class AgeClock {
 public:
  // `marks` ascending by first_segment.
  explicit AgeClock(std::vector<ClockMark> marks = {}) : marks_(std::move(marks)) {}

  // Segments from `next_segment` on are taken now. The mark to be stored with them, replacing all
  // from its first_segment on; none while nothing has changed.
  std::optional<ClockMark> observe(int64_t next_segment, const ClockReading& now);

  // Of the newest record of a segment; none: not known, so it does not expire.
  std::optional<std::chrono::microseconds> age(int64_t segment, int64_t newest_us,
                                               const ClockReading& now) const;
  const std::vector<ClockMark>& marks() const { return marks_; }

 private:
  std::vector<ClockMark> marks_;
};

}  // namespace penstock::spool
