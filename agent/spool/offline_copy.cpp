#include "agent/spool/offline_copy.h"

#include <algorithm>

namespace penstock::spool {

std::map<LaneId, Seq> next_numbers(const FoundRows& rows) {
  std::map<LaneId, Seq> next;
  const auto reach = [&next](LaneId lane, Seq seq) {
    Seq& known = next.try_emplace(lane, 1).first->second;
    known = std::max(known, seq);
  };
  for (const auto& [id, lane] : rows.lanes) reach(id, lane.next_seq);
  for (const auto& segment : rows.segments) reach(segment.lane, segment.last() + 1);
  for (const auto& record : rows.quarantine) reach(record.lane, record.seq + 1);
  for (const auto& fate : rows.fates) reach(fate.lane, fate.range.last + 1);
  return next;
}

void take_epochs(FoundRows& rows, const LanesCopy& copy) {
  for (const auto& epoch : copy.epochs) {
    rows.epochs.try_emplace(epoch.id, FoundEpoch{epoch.id, epoch.name, epoch.agent_id,
                                                 epoch.machine_id, epoch.started_at_us});
  }
}

void take_lanes(FoundRows& rows, const LanesCopy& copy,
                const std::function<bool(const FoundLane&)>& may_be_old) {
  for (const auto& row : copy.lanes) {
    const FoundLane copied{row.lane,   row.key, row.cursor,  row.next_seq,
                           row.counts, {},      row.refused, 0};
    auto& known = rows.lanes.try_emplace(row.lane, copied).first->second;
    if (known.key != row.key || !may_be_old(known)) continue;
    if (row.cursor > known.cursor) {
      known.cursor = row.cursor;
      known.counts = row.counts;
    }
    known.next_seq = std::max(known.next_seq, row.next_seq);
    known.refused = std::max(known.refused, row.refused);
  }
}

}  // namespace penstock::spool
