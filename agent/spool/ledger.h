// The lanes and the fate of every record: what is committed, how far the cursor is, what was
// quarantined, damaged, dropped or discarded, and what of that is not on disk yet.
//
// Pure bookkeeping, guarded by its owner's lock. Records ahead of the cursor whose fate is decided
// already are kept as ranges; the cursor passes them by itself, and only then are they counted.
// Ranges are kept until the row whose cursor has passed them is on disk, so that the counts belong
// to any cursor between that of the last row and the present one.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/spool/rows.h"
#include "agent/spool/seq_ranges.h"
#include "agent/spool/types.h"

namespace penstock::spool {

// A record on its way into the quarantine; its body is fetched when it is written.
struct PendingQuarantine {
  LaneId lane = 0;
  Seq seq = 0;
  int64_t at_us = 0;
  std::string reason;
  SegmentPtr segment;  // when it was in memory
};

class Ledger {
 public:
  Ledger();  // with kUnroutedLane

  // The lane of `key`, made if new, with the next free id.
  LaneId lane(const LaneKey& key);
  bool has(LaneId lane) const { return lanes_.contains(lane); }
  LaneState state(LaneId lane) const;  // all zero for an unknown lane
  std::vector<LaneState> states() const;
  Seq cursor(LaneId lane) const { return lanes_.at(lane).state.cursor; }

  // While opening, in this order: lanes, what is committed, what is decided ahead of the cursor;
  // then settle.
  void restore(const LaneRow& row);
  void restore_committed(LaneId lane, Seq last);
  void restore_fate(LaneId lane, FateKind kind, SeqRange range);
  std::vector<SeqRange> undecided(LaneId lane, SeqRange range) const;
  // The parts of `range` whose fate is decided, ascending. Nothing is allocated when there are
  // none.
  std::vector<SeqRange> decided(LaneId lane, SeqRange range) const;
  void settle_all();
  void set_quarantine_bytes(LaneId lane, uint64_t bytes);

  // Does `record` carry the next sequence number of a known lane? accept() then takes the number.
  bool expects(LaneId lane, Seq seq) const;
  void accept(LaneId lane, Seq seq);

  void committed(LaneId lane, Seq last);
  void refused(LaneId lane, Seq seq);  // committed straight to quarantine; before committed()
  // Second ledger: never numbered, never committed.
  void turned_away(LaneId lane, uint64_t count);
  const std::set<LaneId>& turned_away() const { return turned_away_; }  // counts not on disk
  uint64_t quarantine_bytes() const { return quarantine_bytes_; }       // of all lanes, on disk
  uint64_t quarantine_bytes(LaneId lane) const { return lanes_.at(lane).row.quarantine_bytes; }
  // False when the cursor was there already.
  bool acknowledge(LaneId lane, Seq up_to);
  // False when nothing is to be done: decided already, or not between cursor and committed.
  bool quarantine(PendingQuarantine record);
  // The parts of `range` that were committed and undecided; they have the fate `kind` now.
  std::vector<SeqRange> decide(LaneId lane, SeqRange range, FateKind kind, int64_t at_us,
                               const std::string& reason);
  std::vector<SeqRange> damage(LaneId lane, SeqRange range, int64_t at_us,
                               const std::string& reason) {
    return decide(lane, range, FateKind::kDamaged, at_us, reason);
  }

  // What is not on disk yet.
  bool is_persisted(LaneId lane) const { return lanes_.at(lane).persisted; }
  const std::set<LaneId>& dirty() const { return dirty_; }
  void mark_dirty(LaneId lane) { dirty_.insert(lane); }
  const std::vector<PendingQuarantine>& pending_quarantine() const { return pending_quarantine_; }
  const std::vector<FateRow>& pending_fates() const { return pending_fates_; }
  // For a transaction: what comes after this is not joined to these.
  const std::vector<FateRow>& plan_fates() {
    planned_fates_ = pending_fates_.size();
    return pending_fates_;
  }
  bool has_unwritten() const {
    return !dirty_.empty() || !pending_quarantine_.empty() || !pending_fates_.empty();
  }
  bool waits_for_quarantine(LaneId lane) const;
  bool waits_for_quarantine(LaneId lane, SeqRange range) const;
  // As it may be written now; without what is pending the cursor stops short of the first record of
  // that. The quarantine may be left out alone.
  LaneRow row(LaneId lane, bool with_fates, bool with_quarantine) const;
  // Nothing of `row` is news.
  bool is_written(const LaneRow& row) const;
  // `row` is on disk; the lane stays dirty when its cursor has gone on or a fate was decided since
  // it was made, or when `keep_dirty`. After written_pending().
  void written(const LaneRow& row, bool keep_dirty);
  // The first so many of each are on disk.
  void written_pending(size_t quarantine_count, size_t fate_count);

 private:
  struct Lane {
    LaneState state;
    Seq accepted = 0;                           // the last sequence number that went into the queue
    bool persisted = false;                     // has a row
    LaneRow row;                                // as last written
    FateCounts fates;                           // at or below the cursor
    std::array<SeqRanges, kFateKinds> decided;  // above row.cursor, by kind
    SeqRanges& of(FateKind kind) { return decided[static_cast<size_t>(kind)]; }
  };
  static void settle(Lane& lane, Seq counted);
  static bool pass_decided(Lane& lane);
  void note_fate(FateRow fate);
  bool has_pending(LaneId lane) const;
  static void count(FateCounts& fates, const Lane& lane, SeqRange range);
  static std::vector<SeqRange> undecided_in(const Lane& lane, SeqRange range);

  std::map<LaneId, Lane> lanes_;
  std::map<LaneKey, LaneId> ids_;
  std::set<LaneId> dirty_;  // cursor or trim not on disk
  std::set<LaneId> turned_away_;
  std::vector<PendingQuarantine> pending_quarantine_;
  std::vector<FateRow> pending_fates_;
  size_t planned_fates_ = 0;  // of pending_fates_, may be in a transaction right now
  uint64_t quarantine_bytes_ = 0;
};

}  // namespace penstock::spool
