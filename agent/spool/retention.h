// What the spool does at its limits, as values: states, shares, verdicts. Pure.
//
// A lane may use its share of the room for records. Configured, the share is a percentage. Else it
// is half the room divided by the lanes that are over it, never more than what is free (so that
// lanes that fill up one after the other leave room for the next), but at least 4 MB. In red the
// 4 MB no longer hold. Only a lane that is over its share is held, dropped or refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/spool/types.h"

namespace penstock::spool {

enum class OverflowPolicy { kBlock, kDropOldest, kDropNewest };

// What a route says about the records of its lanes.
struct LanePolicy {
  OverflowPolicy overflow = OverflowPolicy::kBlock;
  std::optional<double> max_share_percent;  // of the room for records
  std::optional<Millis> max_age;
};

enum class SpoolState {
  kGreen,
  kYellow,  // 80 % in use: acknowledgements are written at once
  kRed,     // 95 %
  kDiskLow  // the filesystem has less than min_free, or refused to give room
};
std::string_view to_string(SpoolState state);

struct Fill {
  uint64_t live_bytes = 0;
  uint64_t quota_bytes = 1;            // the room for records
  std::optional<uint64_t> free_bytes;  // of the filesystem; none: not asked
  uint64_t min_free_bytes = 0;
  bool disk_refused = false;  // the filesystem had no room for what the quota would have allowed
};

// A state is left a little below where it is entered, so that it does not flicker.
SpoolState state_of(const Fill& fill, SpoolState before);

inline constexpr uint64_t kLeastShareBytes = uint64_t{4} << 20;

struct LaneUse {
  uint64_t bytes = 0;  // stored and queued
  std::optional<double> max_share_percent;
};

// What each lane may use, in the order of `uses`. `free_bytes`: of the quota.
std::vector<uint64_t> shares(const std::vector<LaneUse>& uses, uint64_t quota_bytes,
                             uint64_t free_bytes, SpoolState state);

// What becomes of files beside the one that is written to.
enum class Upkeep {
  kMove,    // the last segments of a nearly empty file into the active one
  kCarry,   // the quarantine and the fates of an empty one, so that it can go
  kRemove,  // and what is found out before
  kSpare,
  kShrink
};

// May it go on? `is_short`: records find no room, or the filesystem has less than min_free. Then
// only what gives room does, and what has to be written first for that, if it takes less.
bool may_go_on(Upkeep what, bool is_short, uint64_t takes_bytes, uint64_t gives_bytes);

enum class Admission { kTake, kBlock, kDrop };

// For one more record of a lane. A lane that holds nothing may always have one. `full`: the spool
// as a whole has no room.
Admission admission(OverflowPolicy overflow, uint64_t use_bytes, uint64_t share_bytes, bool full);

}  // namespace penstock::spool
