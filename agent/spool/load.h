// What a database holds, read once at open: the ledger of every lane and the index of live
// segments.
//
// Of the payloads only the newest of each lane is read, unless rows do not fit: segment_scan.h.
// Next sequence numbers come out exact, whatever moment the last run died at.
#pragma once

#include <cstdint>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/ledger.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

struct Loaded {
  Ledger ledger;
  SegmentIndex index;
  int64_t next_segment_id = 1;
};

// kCorrupt when the tables cannot be read or do not fit together.
Result<Loaded> load(Connection& db, int64_t wall_us, const Log& log);

}  // namespace penstock::spool
