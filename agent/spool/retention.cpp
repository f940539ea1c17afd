#include "agent/spool/retention.h"

#include <algorithm>

namespace penstock::spool {
namespace {

constexpr uint64_t kYellowPercent = 80;
constexpr uint64_t kRedPercent = 95;
constexpr uint64_t kFlickerPercent = 2;

bool above(const Fill& fill, uint64_t percent, bool was_above) {
  if (was_above) percent -= kFlickerPercent;
  return fill.live_bytes / 100 >= fill.quota_bytes / 100 * percent / 100;
}

bool disk_low(const Fill& fill, bool was_low) {
  if (fill.disk_refused) return true;
  if (!fill.free_bytes) return false;
  const uint64_t wanted = fill.min_free_bytes + (was_low ? fill.min_free_bytes / 64 : 0);
  return *fill.free_bytes < wanted;
}

// How many lanes are over the share that this many get: the largest n for which n lanes hold more
// than half the room divided by n.
uint64_t lanes_over(const std::vector<LaneUse>& uses, uint64_t half_bytes) {
  std::vector<uint64_t> sizes;
  for (const auto& use : uses) {
    if (!use.max_share_percent) sizes.push_back(use.bytes);
  }
  std::sort(sizes.rbegin(), sizes.rend());
  uint64_t over = 0;
  for (uint64_t n = 1; n <= sizes.size(); ++n) {
    if (sizes[n - 1] > half_bytes / n) over = n;
  }
  return over;
}

}  // namespace

std::string_view to_string(SpoolState state) {
  switch (state) {
    case SpoolState::kGreen:
      return "green";
    case SpoolState::kYellow:
      return "yellow";
    case SpoolState::kRed:
      return "red";
    case SpoolState::kDiskLow:
      return "disk-low";
  }
  return "?";
}

SpoolState state_of(const Fill& fill, SpoolState before) {
  if (disk_low(fill, before == SpoolState::kDiskLow)) return SpoolState::kDiskLow;
  const bool was_red = before == SpoolState::kRed;
  if (above(fill, kRedPercent, was_red)) return SpoolState::kRed;
  if (above(fill, kYellowPercent, was_red || before == SpoolState::kYellow))
    return SpoolState::kYellow;
  return SpoolState::kGreen;
}

std::vector<uint64_t> shares(const std::vector<LaneUse>& uses, uint64_t quota_bytes,
                             uint64_t free_bytes, SpoolState state) {
  const uint64_t half = quota_bytes / 2;
  uint64_t common = std::min(half / std::max<uint64_t>(1, lanes_over(uses, half)), free_bytes);
  if (state != SpoolState::kRed) common = std::max(common, kLeastShareBytes);
  std::vector<uint64_t> out;
  out.reserve(uses.size());
  for (const auto& use : uses) {
    out.push_back(use.max_share_percent ? static_cast<uint64_t>(static_cast<double>(quota_bytes) *
                                                                *use.max_share_percent / 100)
                                        : common);
  }
  return out;
}

bool may_go_on(Upkeep what, bool is_short, uint64_t takes_bytes, uint64_t gives_bytes) {
  if (!is_short || what == Upkeep::kRemove) return true;
  return what == Upkeep::kCarry && takes_bytes < gives_bytes;
}

Admission admission(OverflowPolicy overflow, uint64_t use_bytes, uint64_t share_bytes, bool full) {
  const bool over = use_bytes > 0 && use_bytes >= share_bytes;
  switch (overflow) {
    case OverflowPolicy::kBlock:
      return over ? Admission::kBlock : Admission::kTake;
    case OverflowPolicy::kDropOldest:
      return Admission::kTake;
    case OverflowPolicy::kDropNewest:
      return over || full ? Admission::kDrop : Admission::kTake;
  }
  return Admission::kTake;
}

}  // namespace penstock::spool
