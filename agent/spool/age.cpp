#include "agent/spool/age.h"

#include <algorithm>
#include <cstdlib>

#include "agent/base/boot.h"
#include "agent/base/wall_clock.h"

namespace penstock::spool {
namespace {

constexpr int64_t kStepUs = 1'000'000;  // smaller corrections are not worth a mark
constexpr size_t kMaxMarks = 256;       // segments below the oldest do not expire

}  // namespace

ClockReading clock_reading(const std::function<bool(int64_t)>& is_set) {
  static const std::string boot = boot_id();
  ClockReading now;
  now.boot = boot;
  now.boot_us = since_boot_us();
  now.wall_us = read_clock().wall_us;
  now.is_set = is_set(now.wall_us);
  return now;
}

ClockReading read_clock_reading() { return clock_reading(wall_clock_is_set); }

std::optional<ClockMark> AgeClock::observe(int64_t next_segment, const ClockReading& now) {
  const ClockMark mark{next_segment, now.boot, now.wall_us - now.boot_us, now.is_set};
  // Ids begin again when the database was empty: what is said about later ones is of the past.
  const auto stale = std::find_if(marks_.begin(), marks_.end(), [&](const ClockMark& one) {
    return one.first_segment > next_segment;
  });
  const bool renumbered = stale != marks_.end();
  marks_.erase(stale, marks_.end());
  if (!renumbered && !marks_.empty()) {
    const auto& last = marks_.back();
    if (last.boot == mark.boot && last.is_set == mark.is_set &&
        std::abs(last.offset_us - mark.offset_us) < kStepUs) {
      return std::nullopt;
    }
  }
  if (!marks_.empty() && marks_.back().first_segment == next_segment) marks_.pop_back();
  if (marks_.size() >= kMaxMarks) marks_.erase(marks_.begin());
  marks_.push_back(mark);
  return mark;
}

std::optional<std::chrono::microseconds> AgeClock::age(int64_t segment, int64_t newest_us,
                                                       const ClockReading& now) const {
  const auto after = std::find_if(marks_.begin(), marks_.end(), [&](const ClockMark& one) {
    return one.first_segment > segment;
  });
  if (after == marks_.begin()) return std::nullopt;
  const ClockMark& mark = *std::prev(after);
  if (!mark.is_set) return std::nullopt;
  const int64_t taken_boot_us = newest_us - mark.offset_us;
  if (mark.boot == now.boot) return std::chrono::microseconds(now.boot_us - taken_boot_us);
  if (!now.is_set) return std::nullopt;
  int64_t offset_us = mark.offset_us;
  for (const auto& one : marks_) {
    if (one.boot == mark.boot && one.is_set) offset_us = one.offset_us;
  }
  return std::chrono::microseconds(now.wall_us - (taken_boot_us + offset_us));
}

}  // namespace penstock::spool
