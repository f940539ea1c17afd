#include "agent/spool/ledger.h"

#include <algorithm>
#include <utility>

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
  lane.state.id = row.lane;
  lane.state.key = row.key;
  lane.state.next_seq = row.next_seq;
  lane.state.cursor = row.cursor;
  lane.state.refused = row.refused;
  lane.fates = row.counts;
  lane.row = row;
  lane.accepted = row.next_seq - 1;
  lane.persisted = true;
  ids_[row.key] = row.lane;
  quarantine_bytes_ += row.quarantine_bytes;
}

void Ledger::restore_committed(LaneId lane, Seq last) {
  Lane& found = lanes_.at(lane);
  found.state.next_seq = std::max(found.state.next_seq, last + 1);
  found.accepted = found.state.next_seq - 1;
}

void Ledger::restore_fate(LaneId lane, FateKind kind, SeqRange range) {
  restore_committed(lane, range.last);
  lanes_.at(lane).of(kind).add(range);
}

std::vector<SeqRange> Ledger::undecided(LaneId lane, SeqRange range) const {
  return undecided_in(lanes_.at(lane), range);
}

std::vector<SeqRange> Ledger::decided(LaneId lane, SeqRange range) const {
  const Lane& found = lanes_.at(lane);
  const bool any = range.first <= found.state.cursor ||
                   std::any_of(found.decided.begin(), found.decided.end(),
                               [&](const SeqRanges& ranges) { return ranges.overlaps(range); });
  if (!any) return {};
  SeqRanges open;
  for (const auto& part :
       undecided_in(found, {std::max(range.first, found.state.cursor + 1), range.last}))
    open.add(part);
  return open.missing_in(range);
}

std::vector<SeqRange> Ledger::undecided_in(const Lane& lane, SeqRange range) {
  std::vector<SeqRange> parts{range};
  for (const auto& decided : lane.decided) {
    std::vector<SeqRange> rest;
    for (const auto& part : parts) {
      for (const auto& missing : decided.missing_in(part)) rest.push_back(missing);
    }
    parts = std::move(rest);
  }
  return parts;
}

void Ledger::set_quarantine_bytes(LaneId lane, uint64_t bytes) {
  LaneRow& row = lanes_.at(lane).row;
  quarantine_bytes_ += bytes - std::exchange(row.quarantine_bytes, bytes);
}

void Ledger::settle_all() {
  for (auto& [id, lane] : lanes_) settle(lane, lane.state.cursor);
}

bool Ledger::pass_decided(Lane& lane) {
  for (const auto& ranges : lane.decided) {
    if (const auto last = ranges.last_of(lane.state.cursor + 1)) {
      lane.state.cursor = *last;
      return true;
    }
  }
  return false;
}

void Ledger::count(FateCounts& fates, const Lane& lane, SeqRange range) {
  if (range.empty()) return;
  const auto in = [&](FateKind kind) {
    return lane.decided[static_cast<size_t>(kind)].count_in(range);
  };
  const uint64_t aged = in(FateKind::kDroppedAge);
  fates.quarantined += in(FateKind::kQuarantined);
  fates.damaged += in(FateKind::kDamaged);
  fates.discarded += in(FateKind::kDiscarded);
  fates.dropped += in(FateKind::kDroppedOverflow) + aged;
  fates.dropped_age += aged;
}

// Moves the cursor over records decided ahead of it, then counts those above `counted` that it has
// passed.
void Ledger::settle(Lane& lane, Seq counted) {
  while (pass_decided(lane)) {
  }
  LaneState& state = lane.state;
  count(lane.fates, lane, {counted + 1, state.cursor});
  state.quarantined = lane.fates.quarantined;
  state.damaged = lane.fates.damaged;
  state.discarded = lane.fates.discarded;
  state.dropped_overflow = lane.fates.dropped - lane.fates.dropped_age;
  state.dropped_age = lane.fates.dropped_age;
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
  settle(found, found.state.cursor);
}

void Ledger::refused(LaneId lane, Seq seq) {
  lanes_.at(lane).of(FateKind::kQuarantined).add({seq, seq});
}

void Ledger::turned_away(LaneId lane, uint64_t count) {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end() || count == 0) return;
  it->second.state.refused += count;
  turned_away_.insert(lane);
}

bool Ledger::acknowledge(LaneId lane, Seq up_to) {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end()) return false;
  LaneState& state = it->second.state;
  up_to = std::min(up_to, state.next_seq - 1);
  if (up_to <= state.cursor) return false;
  settle(it->second, std::exchange(state.cursor, up_to));
  dirty_.insert(lane);
  return true;
}

bool Ledger::quarantine(PendingQuarantine record) {
  const auto it = lanes_.find(record.lane);
  if (it == lanes_.end()) return false;
  Lane& lane = it->second;
  if (record.seq <= lane.state.cursor || record.seq >= lane.state.next_seq) return false;
  if (undecided_in(lane, {record.seq, record.seq}).empty()) return false;
  lane.of(FateKind::kQuarantined).add({record.seq, record.seq});
  settle(lane, lane.state.cursor);
  dirty_.insert(record.lane);
  pending_quarantine_.push_back(std::move(record));
  return true;
}

std::vector<SeqRange> Ledger::decide(LaneId lane, SeqRange range, FateKind kind, int64_t at_us,
                                     const std::string& reason) {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end()) return {};
  LaneState& state = it->second.state;
  range.first = std::max(range.first, state.cursor + 1);
  range.last = std::min(range.last, state.next_seq - 1);
  if (range.empty()) return {};
  auto parts = undecided_in(it->second, range);
  for (const auto& part : parts) {
    it->second.of(kind).add(part);
    note_fate({lane, part, kind, at_us, reason});
  }
  if (!parts.empty()) dirty_.insert(lane);
  settle(it->second, state.cursor);
  return parts;
}

// A row of the table each: ranges that follow each other are one.
void Ledger::note_fate(FateRow fate) {
  const auto end = pending_fates_.rend() - static_cast<ptrdiff_t>(planned_fates_);
  const auto last = std::find_if(pending_fates_.rbegin(), end,
                                 [&](const FateRow& one) { return one.lane == fate.lane; });
  if (last != end && last->kind == fate.kind && last->reason == fate.reason &&
      last->range.last + 1 == fate.range.first) {
    last->range.last = fate.range.last;
    return;
  }
  pending_fates_.push_back(std::move(fate));
}

bool Ledger::waits_for_quarantine(LaneId lane) const {
  return waits_for_quarantine(lane, {0, UINT64_MAX});
}

bool Ledger::waits_for_quarantine(LaneId lane, SeqRange range) const {
  return std::any_of(
      pending_quarantine_.begin(), pending_quarantine_.end(), [&](const PendingQuarantine& record) {
        return record.lane == lane && record.seq >= range.first && record.seq <= range.last;
      });
}

bool Ledger::is_written(const LaneRow& row) const {
  const Lane& lane = lanes_.at(row.lane);
  return lane.persisted && lane.row.cursor == row.cursor && lane.row.next_seq == row.next_seq &&
         lane.row.refused == row.refused;
}

LaneRow Ledger::row(LaneId lane, bool with_fates, bool with_quarantine) const {
  const Lane& found = lanes_.at(lane);
  const LaneState& state = found.state;
  LaneRow row{lane,        state.key, state.cursor,  state.next_seq,
              found.fates, 1,         state.refused, found.row.quarantine_bytes};
  if (with_fates && with_quarantine) return row;
  for (const auto& record : pending_quarantine_) {
    if (!with_quarantine && record.lane == lane) row.cursor = std::min(row.cursor, record.seq - 1);
  }
  for (const auto& fate : pending_fates_) {
    if (!with_fates && fate.lane == lane) row.cursor = std::min(row.cursor, fate.range.first - 1);
  }
  row.counts = found.row.counts;
  count(row.counts, found, {found.row.cursor + 1, row.cursor});
  return row;
}

void Ledger::written(const LaneRow& row, bool keep_dirty) {
  Lane& lane = lanes_.at(row.lane);
  lane.persisted = true;
  quarantine_bytes_ += row.quarantine_bytes - lane.row.quarantine_bytes;
  lane.row = row;
  for (auto& ranges : lane.decided) ranges.take_up_to(row.cursor);
  if (lane.state.refused == row.refused) turned_away_.erase(row.lane);
  if (!keep_dirty && lane.state.cursor == row.cursor && !has_pending(row.lane))
    dirty_.erase(row.lane);
}

bool Ledger::has_pending(LaneId lane) const {
  return waits_for_quarantine(lane) ||
         std::any_of(pending_fates_.begin(), pending_fates_.end(),
                     [&](const FateRow& fate) { return fate.lane == lane; });
}

void Ledger::written_pending(size_t quarantine_count, size_t fate_count) {
  pending_quarantine_.erase(pending_quarantine_.begin(),
                            pending_quarantine_.begin() + static_cast<ptrdiff_t>(quarantine_count));
  pending_fates_.erase(pending_fates_.begin(),
                       pending_fates_.begin() + static_cast<ptrdiff_t>(fate_count));
  planned_fates_ -= std::min(planned_fates_, fate_count);
}

}  // namespace penstock::spool
