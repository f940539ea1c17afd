#include "agent/spool/offline_salvage.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_epochs.h"
#include "agent/spool/rows.h"

namespace penstock::spool {
namespace {

constexpr auto kDamaged = static_cast<int64_t>(FateKind::kDamaged);

// The part of `range` that is in `set`.
std::vector<SeqRange> common(const SeqRanges& set, SeqRange range) {
  if (range.empty() || !set.overlaps(range)) return {};
  SeqRanges others;
  for (const auto& part : set.missing_in(range)) others.add(part);
  return others.missing_in(range);
}

}  // namespace

Salvage::Salvage(std::map<LaneId, OfflineLane>& lanes, const std::map<uint32_t, FoundEpoch>& epochs)
    : lanes_(lanes), epochs_(epochs) {
  for (const auto& [id, lane] : lanes_) {
    for (const auto& fate : lane.fates) {
      if (fate.kind == kDamaged) damaged_[id].add(fate.range);
    }
  }
}

void Salvage::offer(const StoredSegment& segment, const Source& source) {
  const auto found = lanes_.find(segment.lane);
  if (found == lanes_.end()) return;
  const OfflineLane& lane = found->second;
  SeqRange range{segment.first, segment.last()};
  const auto own = source.keys.find(segment.lane);
  const LaneKey& key = own != source.keys.end() ? own->second : lane.key;
  if (source.parked) {
    // Of a lane that nobody knew when the file was parked, everything.
    const auto end = source.parked->ends.find(segment.lane);
    const Seq from = end != source.parked->ends.end() ? end->second : 1;
    const SeqRange again{std::max(range.first, from), range.last};
    take_late(segment, again, key);
    if (!again.empty()) range.last = again.first - 1;
  }
  if (key != lane.key) return;
  for (const auto& part : common(damaged_[segment.lane], range)) {
    const SeqRange behind{part.first, std::min(part.last, lane.cursor)};
    const SeqRange ahead{std::max(part.first, lane.cursor + 1), part.last};
    if (!ahead.empty()) found_[segment.lane].add(ahead);
    // Lanes that carry another's records have no second name to send them under.
    if (behind.empty() || lane.key.route.find('@') != lane.key.route.npos) continue;
    found_[segment.lane].add(behind);
    take_late(segment, behind, key);
  }
}

bool Salvage::is_wanted_ahead(const StoredSegment& segment) const {
  const auto lane = lanes_.find(segment.lane);
  const auto found = found_.find(segment.lane);
  if (lane == lanes_.end() || found == found_.end()) return false;
  const SeqRange ahead{std::max(segment.first, lane->second.cursor + 1), segment.last()};
  return !ahead.empty() && found->second.overlaps(ahead);
}

void Salvage::take_late(const StoredSegment& segment, SeqRange range, const LaneKey& key) {
  if (range.empty() || key.route.find('@') != std::string::npos) return;
  Late& late = late_.try_emplace({segment.lane, segment.epoch}, Late{key, {}, {}}).first->second;
  for (const auto& part : late.taken.missing_in(range)) {
    late.taken.add(part);
    late.parts.emplace_back(part, &segment);
  }
}

LaneKey Salvage::key_of(LaneId lane, uint32_t epoch, const LaneKey& key) const {
  const std::string origin = fmt::format("{}/{}", origin_prefix(epochs_, epoch), lane);
  return {imported_route(key.route, origin), key.table};
}

std::vector<LateLane> Salvage::settle() {
  for (auto& [id, lane] : lanes_) {
    const auto found = found_.find(id);
    if (found != found_.end()) forget_damage(lane, found->second);
  }
  std::vector<LateLane> lanes;
  LaneId next = lanes_.empty() ? 1 : lanes_.rbegin()->first + 1;
  for (auto& [of, late] : late_) {
    LateLane lane{next++, key_of(of.first, of.second, late.key), std::move(late.parts)};
    std::sort(lane.parts.begin(), lane.parts.end(),
              [](const auto& a, const auto& b) { return a.first.first < b.first.first; });
    lanes.push_back(std::move(lane));
  }
  return lanes;
}

}  // namespace penstock::spool
