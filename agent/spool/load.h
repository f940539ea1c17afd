// What the generations hold, read once at open and made into one: the ledger of every lane and the
// index of live segments.
//
// Each generation says where its lanes begin (lane_state.first_seq): what an older one has from
// there on was never called durable and is ignored. Segments that are in two generations (moved, or
// written again) count in the newer. Of the payloads only the newest of each lane and file is read,
// unless rows do not fit: segment_scan.h. Next sequence numbers come out exact, whatever moment the
// last run died at.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/age.h"
#include "agent/spool/index_reader.h"
#include "agent/spool/ledger.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

struct Loaded {
  Ledger ledger;
  SegmentIndex index;
  std::map<LaneId, IndexedSums> sums;  // of the active generation
  bool index_is_stale = false;         // the rows there are not to be relied on
  int64_t next_segment_id = 1;         // above all ids in all generations
  std::vector<ClockMark> marks;
  std::set<uint32_t> with_strangers{};  // generations with segments of lanes that nobody knows
};

struct LoadSource {
  uint32_t generation = 1;
  Connection* db = nullptr;
  bool is_active = false;  // only the first may be
};

// The rows of `lane_state`; kCorrupt when they are impossible.
Result<std::vector<LaneRow>> read_lanes(Connection& db);

// `newest_first` with the active generation first, if there is one yet; if not, `lanes` is where
// the lanes stand. kCorrupt when the tables of the active one cannot be read or do not fit
// together; damage in others is logged, and what cannot be read of them is counted as damaged. A
// quarantine that is above `quarantine_quota` by the count of its lanes is counted anew: a person
// may have taken rows out.
Result<Loaded> load(const std::vector<LoadSource>& newest_first, std::vector<LaneRow> lanes,
                    int64_t wall_us, const Log& log, uint64_t quarantine_quota = UINT64_MAX);

}  // namespace penstock::spool
