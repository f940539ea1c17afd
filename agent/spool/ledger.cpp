#include "agent/spool/ledger.h"

#include <algorithm>

namespace penstock::spool {

Ledger::Ledger() {
  Lane unrouted;
  unrouted.state.id = kUnroutedLane;
  unrouted.state.key = {std::string(kUnroutedName), ""};
  ids_.emplace(unrouted.state.key, kUnroutedLane);
  lanes_.emplace(kUnroutedLane, std::move(unrouted));
}

LaneId Ledger::lane(const LaneKey& key) {
  const auto it = ids_.find(key);
  if (it != ids_.end()) return it->second;
  const LaneId id = lanes_.rbegin()->first + 1;
  Lane lane;
  lane.state.id = id;
  lane.state.key = key;
  lanes_.emplace(id, std::move(lane));
  ids_.emplace(key, id);
  return id;
}

LaneState Ledger::state(LaneId lane) const {
  const auto it = lanes_.find(lane);
  return it == lanes_.end() ? LaneState{} : it->second.state;
}

std::vector<LaneState> Ledger::states() const {
  std::vector<LaneState> states;
  for (const auto& [id, lane] : lanes_) states.push_back(lane.state);
  return states;
}

void Ledger::restore(const LaneRow& row) {
  Lane& lane = lanes_[row.lane];
  lane.state = {.id = row.lane,
                .key = row.key,
                .next_seq = row.next_seq,
                .cursor = row.cursor,
                .quarantined = row.counts.quarantined,
                .damaged = row.counts.damaged,
                .discarded = row.counts.discarded,
                .dropped = row.counts.dropped};
  lane.accepted = row.next_seq - 1;
  lane.counted_to = row.cursor;
  lane.persisted = true;
  ids_[row.key] = row.lane;
}

void Ledger::restore_committed(LaneId lane, Seq last) {
  Lane& found = lanes_.at(lane);
  found.state.next_seq = std::max(found.state.next_seq, last + 1);
  found.accepted = found.state.next_seq - 1;
}

void Ledger::restore_quarantined(LaneId lane, SeqRange range) {
  restore_committed(lane, range.last);
  lanes_.at(lane).quarantined.add(range);
}

void Ledger::restore_damaged(LaneId lane, SeqRange range) {
  restore_committed(lane, range.last);
  lanes_.at(lane).damaged.add(range);
}

std::vector<SeqRange> Ledger::undecided(LaneId lane, SeqRange range) const {
  const Lane& found = lanes_.at(lane);
  std::vector<SeqRange> parts;
  for (const auto& part : found.quarantined.missing_in(range)) {
    for (const auto& rest : found.damaged.missing_in(part)) parts.push_back(rest);
  }
  return parts;
}

void Ledger::settle_all() {
  for (auto& [id, lane] : lanes_) settle(lane);
}

// Moves the cursor over records decided ahead of it, then counts those it has passed.
void Ledger::settle(Lane& lane) {
  Seq& cursor = lane.state.cursor;
  for (;;) {
    if (const auto last = lane.quarantined.last_of(cursor + 1)) {
      cursor = *last;
    } else if (const auto end = lane.damaged.last_of(cursor + 1)) {
      cursor = *end;
    } else {
      break;
    }
  }
  const FateCounts passed = count(lane, {lane.counted_to + 1, cursor});
  lane.state.quarantined += passed.quarantined;
  lane.state.damaged += passed.damaged;
  lane.counted_to = cursor;
}

FateCounts Ledger::count(const Lane& lane, SeqRange range) {
  FateCounts counts;
  counts.quarantined = lane.quarantined.count_in(range);
  counts.damaged = lane.damaged.count_in(range);
  return counts;
}

bool Ledger::expects(LaneId lane, Seq seq) const {
  const auto it = lanes_.find(lane);
  return it != lanes_.end() && it->second.accepted + 1 == seq;
}

void Ledger::accept(LaneId lane, Seq seq) { lanes_.at(lane).accepted = seq; }

void Ledger::committed(LaneId lane, Seq last) {
  Lane& found = lanes_.at(lane);
  found.state.next_seq = last + 1;
  found.persisted = true;
  settle(found);
}

void Ledger::refused(LaneId lane, Seq seq) { lanes_.at(lane).quarantined.add({seq, seq}); }

bool Ledger::acknowledge(LaneId lane, Seq up_to) {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end()) return false;
  LaneState& state = it->second.state;
  up_to = std::min(up_to, state.next_seq - 1);
  if (up_to <= state.cursor) return false;
  state.cursor = up_to;
  settle(it->second);
  dirty_.insert(lane);
  return true;
}

bool Ledger::quarantine(PendingQuarantine record) {
  const auto it = lanes_.find(record.lane);
  if (it == lanes_.end()) return false;
  Lane& lane = it->second;
  if (record.seq <= lane.state.cursor || record.seq >= lane.state.next_seq) return false;
  if (lane.quarantined.contains(record.seq) || lane.damaged.contains(record.seq)) return false;
  lane.quarantined.add({record.seq, record.seq});
  settle(lane);
  dirty_.insert(record.lane);
  pending_quarantine_.push_back(std::move(record));
  return true;
}

std::vector<SeqRange> Ledger::damage(LaneId lane, SeqRange range, int64_t at_us,
                                     const std::string& reason) {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end()) return {};
  LaneState& state = it->second.state;
  range.first = std::max(range.first, state.cursor + 1);
  range.last = std::min(range.last, state.next_seq - 1);
  const auto parts = undecided(lane, range);
  for (const auto& part : parts) {
    it->second.damaged.add(part);
    pending_fates_.push_back({lane, part, FateKind::kDamaged, at_us, reason});
  }
  if (!parts.empty()) dirty_.insert(lane);
  settle(it->second);
  return parts;
}

LaneRow Ledger::row(LaneId lane, bool with_pending) const {
  const LaneState& state = lanes_.at(lane).state;
  LaneRow row{lane,
              state.key,
              state.cursor,
              state.next_seq,
              {state.quarantined, state.damaged, state.discarded, state.dropped}};
  if (with_pending) return row;
  for (const auto& record : pending_quarantine_) {
    if (record.lane == lane) row.cursor = std::min(row.cursor, record.seq - 1);
  }
  for (const auto& fate : pending_fates_) {
    if (fate.lane == lane) row.cursor = std::min(row.cursor, fate.range.first - 1);
  }
  const FateCounts ahead = count(lanes_.at(lane), {row.cursor + 1, state.cursor});
  row.counts.quarantined -= ahead.quarantined;
  row.counts.damaged -= ahead.damaged;
  return row;
}

void Ledger::written(const LaneRow& row, bool keep_dirty) {
  Lane& lane = lanes_.at(row.lane);
  lane.persisted = true;
  lane.quarantined.take_up_to(row.cursor);
  lane.damaged.take_up_to(row.cursor);
  if (!keep_dirty && lane.state.cursor == row.cursor) dirty_.erase(row.lane);
}

void Ledger::written_pending(size_t quarantine_count, size_t fate_count) {
  pending_quarantine_.erase(pending_quarantine_.begin(),
                            pending_quarantine_.begin() + static_cast<ptrdiff_t>(quarantine_count));
  pending_fates_.erase(pending_fates_.begin(),
                       pending_fates_.begin() + static_cast<ptrdiff_t>(fate_count));
}

}  // namespace penstock::spool
