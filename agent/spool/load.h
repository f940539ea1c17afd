// What a database holds, read once at open: the ledger of every lane and the index of live
// segments.
//
// Of the payloads only the newest of each lane is read, unless rows do not fit: segment_scan.h.
// Next sequence numbers come out exact, whatever moment the last run died at.
#pragma once

#include <cstdint>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/age.h"
#include "agent/spool/ledger.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

struct Loaded {
  Ledger ledger;
  SegmentIndex index;
  int64_t next_segment_id = 1;
  std::vector<ClockMark> marks;
};

// kCorrupt when the tables cannot be read or do not fit together. A quarantine that is above
// `quarantine_quota` by the count of its lanes is counted anew: a person may have taken rows out.
Result<Loaded> load(Connection& db, int64_t wall_us, const Log& log,
                    uint64_t quarantine_quota = UINT64_MAX);

}  // namespace penstock::spool
