// What an older file still holds once nothing in it waits to be sent: is it safe to remove it?
//
// It is not while it holds sound segments whose records are counted as damaged or by nobody (it was
// parked, and could be opened again), nor where it has gone back in time: those are behind the end
// of its log. Nor while records of its own are counted as damaged, whose pages may still be there.
// Reads the columns of `seg` some rows at a time, and the payloads of those rows only that matter.
// Spool thread.
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

  // Goes on for `rows` rows. True: finished. What cannot be read ends it.
  bool step(Connection& db, int rows);
  // Once finished. nullopt: nothing in it is of use to anyone.
  std::optional<KeptFor> verdict() const;

 private:
  bool matters(LaneId lane, SeqRange range) const;
  bool has_own_damage() const;
  bool is_sound(Connection& db, int64_t id, LaneId lane);

  const RemainsOf of_;
  SegmentCodec codec_;
  int64_t after_ = INT64_MIN;
  bool has_records_ = false;
  bool has_pages_ = false;
};

// The ranges of kind "damaged" in a file's table of fates.
Result<void> add_damaged(Connection& db, std::map<LaneId, SeqRanges>& damaged);

}  // namespace penstock::spool
