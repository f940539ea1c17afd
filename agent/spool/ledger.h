// The lanes and the fate of every record: what is committed, how far the cursor is, what was
// quarantined or damaged, and what of that is not on disk yet.
//
// Pure bookkeeping, guarded by its owner's lock. Records ahead of the cursor whose fate is decided
// already (refused at commit, quarantined, damaged) are kept as ranges; the cursor passes them by
// itself, and only then are they counted.
#pragma once

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

  // While opening, in this order: lanes, what is committed, what is decided ahead of the cursor;
  // then settle.
  void restore(const LaneRow& row);
  void restore_committed(LaneId lane, Seq last);
  void restore_quarantined(LaneId lane, SeqRange range);
  void restore_damaged(LaneId lane, SeqRange range);
  std::vector<SeqRange> undecided(LaneId lane, SeqRange range) const;
  void settle_all();

  // Does `record` carry the next sequence number of a known lane? accept() then takes the number.
  bool expects(LaneId lane, Seq seq) const;
  void accept(LaneId lane, Seq seq);

  void committed(LaneId lane, Seq last);
  void refused(LaneId lane, Seq seq);  // committed straight to quarantine; before committed()
  // False when the cursor was there already.
  bool acknowledge(LaneId lane, Seq up_to);
  // False when nothing is to be done: decided already, or not between cursor and committed.
  bool quarantine(PendingQuarantine record);
  // The parts of `range` that were undecided, now damaged.
  std::vector<SeqRange> damage(LaneId lane, SeqRange range, int64_t at_us,
                               const std::string& reason);

  // What is not on disk yet.
  bool is_persisted(LaneId lane) const { return lanes_.at(lane).persisted; }
  const std::set<LaneId>& dirty() const { return dirty_; }
  void mark_dirty(LaneId lane) { dirty_.insert(lane); }
  const std::vector<PendingQuarantine>& pending_quarantine() const { return pending_quarantine_; }
  const std::vector<FateRow>& pending_fates() const { return pending_fates_; }
  bool has_unwritten() const {
    return !dirty_.empty() || !pending_quarantine_.empty() || !pending_fates_.empty();
  }
  // As it may be written now; without what is pending the cursor stops short of the first record of
  // that.
  LaneRow row(LaneId lane, bool with_pending) const;
  // `row` is on disk; the lane stays dirty when its cursor has gone on since, or when `keep_dirty`.
  void written(const LaneRow& row, bool keep_dirty);
  // The first so many of each are on disk.
  void written_pending(size_t quarantine_count, size_t fate_count);

 private:
  struct Lane {
    LaneState state;
    Seq accepted = 0;        // the last sequence number that went into the queue
    Seq counted_to = 0;      // the counts of `state` cover everything up to here
    bool persisted = false;  // has a row
    SeqRanges quarantined;   // ahead of the cursor on disk
    SeqRanges damaged;
  };
  static void settle(Lane& lane);
  // Of the decided records in `range`.
  static FateCounts count(const Lane& lane, SeqRange range);

  std::map<LaneId, Lane> lanes_;
  std::map<LaneKey, LaneId> ids_;
  std::set<LaneId> dirty_;  // cursor or trim not on disk
  std::vector<PendingQuarantine> pending_quarantine_;
  std::vector<FateRow> pending_fates_;
};

}  // namespace penstock::spool
