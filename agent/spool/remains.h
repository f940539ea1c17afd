// What an older file still holds once nothing in it waits to be sent: is it safe to remove it?
//
// It is not while it holds sound segments whose records are counted as damaged or by nobody (it was
// parked, and could be opened again), nor where it has gone back in time: those are behind the end
// of its log. Nor while records of its own are counted as damaged, whose pages may still be there.
// Reads the columns of `seg` some rows at a time, and the payloads of those rows only that matter.
// Pages that are damaged are stepped over; where the end cannot be reached, sound records may lie
// behind them. Spool thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "agent/base/result.h"
#include "agent/spool/kept_files.h"
#include "agent/spool/segment_format.h"
#include "agent/spool/seq_ranges.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

struct RemainsOf {
  std::map<LaneId, SeqRanges> damaged;    // by the account of all files
  std::map<LaneId, SeqRange> own;         // numbers the file gave out
  std::set<LaneId> lanes;                 // that are known
  std::optional<ParkedMark> parked = {};  // the file's mark
};

class RemainsScan {
 public:
  explicit RemainsScan(RemainsOf of) : of_(std::move(of)) {}

  // Goes on for `rows` rows. True: finished. kTransient: something cannot be read, which may pass;
  // to be called again, with `waits` false once it has not: it then counts as damaged.
  Result<bool> step(Connection& db, int rows, bool waits);
  // Once finished. nullopt: nothing in it is of use to anyone.
  std::optional<KeptFor> verdict() const;

 private:
  bool matters(LaneId lane, SeqRange range) const;
  bool has_own_damage() const;
  Result<bool> read_rows(Connection& db, int rows);
  Result<void> take_row(Connection& db, const Statement& row, bool& is_sound);
  Result<void> read_payload(Connection& db, int64_t id, LaneId lane, bool& is_sound);
  bool step_over(bool is_damage);

  const RemainsOf of_;
  SegmentCodec codec_;
  int64_t from_ = INT64_MIN;  // the rows from here on are left
  int64_t stride_ = 1;        // over ids of which none can be read
  int64_t steps_ = 0;         // since one could be
  bool waits_ = true;
  bool has_records_ = false;
  bool has_pages_ = false;
};

// The ranges of kind "damaged" in a file's table of fates.
Result<void> add_damaged(Connection& db, std::map<LaneId, SeqRanges>& damaged);

}  // namespace penstock::spool
