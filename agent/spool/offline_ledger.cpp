#include "agent/spool/offline_ledger.h"

#include <algorithm>

#include "agent/spool/imported_lane.h"

namespace penstock::spool {
namespace {

constexpr int64_t kDamaged = 1;
constexpr int64_t kDiscarded = 2;
constexpr int64_t kDropped = 3;

OfflineLane& lane_of(std::map<LaneId, OfflineLane>& lanes, LaneId id) {
  OfflineLane& lane = lanes[id];
  lane.id = id;
  return lane;
}

void reach(OfflineLane& lane, Seq last) { lane.next_seq = std::max(lane.next_seq, last + 1); }

void place_segments(std::map<LaneId, OfflineLane>& lanes, FoundRows& rows,
                    std::vector<StoredSegment>& overlaps) {
  for (const auto& segment : rows.segments) {
    OfflineLane& lane = lane_of(lanes, segment.lane);
    const SeqRange range{segment.first, segment.last()};
    const auto row = rows.lanes.find(segment.lane);
    if (row != rows.lanes.end() && row->second.first_seq && segment.file > row->second.file &&
        segment.first >= *row->second.first_seq) {
      continue;
    }
    if (lane.stored.overlaps(range)) {
      overlaps.push_back(segment);
      continue;
    }
    lane.stored.add(range);
    lane.stored_bytes += segment.stored_bytes;
    reach(lane, range.last);
    lane.segments.push_back(segment);
  }
  for (auto& [id, lane] : lanes) {
    std::sort(lane.segments.begin(), lane.segments.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
  }
}

void place_decided(std::map<LaneId, OfflineLane>& lanes, FoundRows& rows) {
  for (auto& row : rows.quarantine) {
    OfflineLane& lane = lane_of(lanes, row.lane);
    if (lane.decided.contains(row.seq)) continue;
    lane.decided.add({row.seq, row.seq});
    reach(lane, row.seq);
    lane.quarantine.push_back(std::move(row));
  }
  for (auto& fate : rows.fates) {
    OfflineLane& lane = lane_of(lanes, fate.lane);
    for (const auto& part : lane.decided.missing_in(fate.range)) {
      lane.decided.add(part);
      lane.fates.push_back({fate.lane, part, fate.kind, fate.at_us, fate.reason});
    }
    reach(lane, fate.range.last);
  }
  for (auto& [id, lane] : lanes) {
    std::sort(lane.quarantine.begin(), lane.quarantine.end(),
              [](const auto& a, const auto& b) { return a.seq < b.seq; });
    std::sort(lane.fates.begin(), lane.fates.end(),
              [](const auto& a, const auto& b) { return a.range.first < b.range.first; });
  }
}

uint64_t& fate_count(FateCounts& counts, int64_t kind) {
  if (kind == kDiscarded) return counts.discarded;
  return kind == kDropped ? counts.dropped : counts.damaged;
}

// Where the lane's row counts what is at or below the cursor, rows count only what is ahead of it.
void count(OfflineLane& lane, const std::optional<FateCounts>& row) {
  FateCounts behind;
  FateCounts ahead;
  for (const auto& record : lane.quarantine)
    ++(record.seq <= lane.cursor ? behind : ahead).quarantined;
  for (const auto& fate : lane.fates) {
    const auto& range = fate.range;
    const SeqRange passed{range.first, std::min(range.last, lane.cursor)};
    const SeqRange to_come{std::max(range.first, lane.cursor + 1), range.last};
    fate_count(behind, fate.kind) += passed.size();
    fate_count(ahead, fate.kind) += to_come.size();
    if (fate.kind != kDropped || fate.reason != kAgeReason) continue;
    behind.dropped_age += passed.size();
    ahead.dropped_age += to_come.size();
  }
  lane.behind = row.value_or(behind);
  lane.quarantined = lane.behind.quarantined + ahead.quarantined;
  lane.damaged = lane.behind.damaged + ahead.damaged;
  lane.discarded = lane.behind.discarded + ahead.discarded;
  lane.dropped = lane.behind.dropped + ahead.dropped;
  lane.dropped_age = std::min(lane.dropped, lane.behind.dropped_age + ahead.dropped_age);
  for (const auto& part : lane.missing_ranges()) lane.missing += part.size();
  for (const auto& segment : lane.segments) {
    const SeqRange waiting{std::max(segment.first, lane.cursor + 1), segment.last()};
    for (const auto& part : lane.decided.missing_in(waiting)) lane.pending += part.size();
  }
}

}  // namespace

uint64_t OfflineLane::delivered() const {
  const uint64_t others =
      replayed + quarantined + discarded + dropped + damaged + missing + pending;
  return committed() > others ? committed() - others : 0;
}

uint64_t OfflineLane::quarantine_bytes() const {
  uint64_t bytes = 0;
  for (const auto& row : quarantine) bytes += row.record_bytes + row.reason.size();
  return bytes;
}

std::vector<SeqRange> OfflineLane::missing_ranges() const {
  std::vector<SeqRange> ranges;
  for (const auto& part : decided.missing_in({cursor + 1, next_seq - 1})) {
    for (const auto& rest : stored.missing_in(part)) ranges.push_back(rest);
  }
  return ranges;
}

// What is behind the cursor is in its counts, too.
void forget_damage(OfflineLane& lane, const SeqRanges& found) {
  if (found.empty()) return;
  lane.behind.damaged -= std::min(lane.behind.damaged, found.count_in({1, lane.cursor}));
  std::vector<FoundFate> fates;
  for (auto& fate : lane.fates) {
    if (fate.kind != kDamaged) {
      fates.push_back(std::move(fate));
      continue;
    }
    for (const auto& part : found.missing_in(fate.range))
      fates.push_back({fate.lane, part, fate.kind, fate.at_us, fate.reason});
  }
  lane.fates = std::move(fates);
  lane.decided = {};
  for (const auto& fate : lane.fates) lane.decided.add(fate.range);
  for (const auto& record : lane.quarantine) lane.decided.add({record.seq, record.seq});
}

std::map<LaneId, OfflineLane> make_lanes(FoundRows& rows, std::vector<StoredSegment>& overlaps) {
  std::map<LaneId, OfflineLane> lanes;
  lane_of(lanes, kUnroutedLane).key = {std::string(kUnroutedName), ""};
  for (const auto& [id, row] : rows.lanes) {
    OfflineLane& lane = lane_of(lanes, id);
    lane.key = row.key;
    lane.has_row = true;
    lane.cursor = row.cursor;
    lane.next_seq = row.next_seq;
    lane.refused = row.refused;
  }
  place_segments(lanes, rows, overlaps);
  place_decided(lanes, rows);
  for (auto& [id, lane] : lanes) {
    if (!lane.has_row && id == kUnroutedLane) lane.has_row = true;  // it exists without one
    const auto row = rows.lanes.find(id);
    count(lane, row != rows.lanes.end() ? row->second.counts : std::nullopt);
  }
  for (const auto& [id, lane] : lanes) {
    const auto replay = replay_of(lane.key);
    const auto from = replay ? lanes.find(replay->lane) : lanes.end();
    if (from != lanes.end()) from->second.replayed += lane.committed();
  }
  return lanes;
}

}  // namespace penstock::spool
