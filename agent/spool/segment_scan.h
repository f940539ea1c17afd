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
#include "agent/spool/sqlite.h"

namespace penstock::spool {

// Beyond these no spool of ours gets; a number beyond them is damage.
inline constexpr Seq kMaxSeq = Seq{1} << 62;
inline constexpr LaneId kMaxLane = 1 << 20;

struct ScannedSegments {
  std::map<LaneId, std::vector<IndexEntry>> lanes;  // ascending and disjoint
  int64_t next_id = 1;
};

// `ledger` knows the lanes, their cursors and what is decided ahead of them. Only an error of the
// table itself is an error; rows that cannot be placed are logged and left out.
Result<ScannedSegments> scan_segments(Connection& db, const Ledger& ledger, const Log& log);

}  // namespace penstock::spool
