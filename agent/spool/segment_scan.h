// The rows of table `seg` as index entries, which are made to agree before anything is built on
// them.
//
// Normally the columns alone are read. They carry no checksum, so they must fit: each lane's
// segments follow each other, gaps hold only records that are decided, and the newest segment says
// the same in its payload. The rows of a lane where that fails are read in full: a header with a
// good checksum is believed, then columns that fit between those, then nothing. Called while
// opening, on one thread.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/ledger.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/seq_ranges.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

// Beyond these no spool of ours gets; a number beyond them is damage.
inline constexpr Seq kMaxSeq = Seq{1} << 62;
inline constexpr LaneId kMaxLane = 1 << 20;

struct ScannedSegments {
  std::map<LaneId, std::vector<IndexEntry>> lanes;  // ascending and disjoint
  int64_t next_id = 1;
  bool has_strangers = false;  // sound ones of lanes that the ledger does not know
};

struct ScanContext {
  const Ledger& ledger;  // knows the lanes, their cursors and what is decided ahead of them
  // What newer generations hold, and where each lane begins in this one: no gaps are looked for
  // there.
  const std::map<LaneId, SeqRanges>& held_elsewhere;
  const std::map<LaneId, Seq>& begins;
  uint32_t generation = 1;
  // Rows below this id are in the index, and so are those of `indexed`: they are not looked at.
  int64_t from_id = INT64_MIN;
  const std::map<LaneId, SeqRanges>& indexed;
  // Pages that cannot be read are an error; otherwise they are stepped over and their rows missing.
  bool strict = true;
};

// Rows that cannot be placed are logged and left out.
Result<ScannedSegments> scan_segments(Connection& db, const ScanContext& context, const Log& log);

}  // namespace penstock::spool
