// Table `seg_index` of one file, read while it is open.
//
// Called by whoever owns the connection, on that thread. What a row said wrong or a page lost is
// looked for in `seg` itself, between the ids its neighbours name.
#pragma once

#include <optional>
#include <vector>

#include "agent/spool/index_row.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

// Segments of lower ids are in rows; 0: none is.
Result<int64_t> read_covered_id(Connection& db);

// The stretches of a lane that are in rows, ascending. `begins`: the lane's first number that is
// the file's own; what is below was moved there, row by row. Numbers from `ends` on are a newer
// file's.
Result<std::vector<SegmentIndex::Absent>> read_indexed(Connection& db, uint32_t generation,
                                                       LaneId lane, Seq begins, Seq ends);

// The sums the next row of the lane begins with.
struct IndexedSums {
  uint64_t segments = 0;
  uint64_t bytes = 0;
};
Result<IndexedSums> read_sums(Connection& db, LaneId lane, Seq begins);

// All segments of `absent` in some range that begins at or before `from` and holds the segment that
// holds or follows it; as few as one row says, or all when there is none.
struct IndexPart {
  SeqRange range;
  std::vector<IndexEntry> entries;
};
Result<IndexPart> read_part(Connection& db, LaneId lane, Seq from,
                            const SegmentIndex::Absent& absent);

// The same for a range, from `seg`: for where rows are damaged or gone. Pages that cannot be read
// are stepped over.
std::vector<IndexEntry> scan_part(Connection& db, LaneId lane, SeqRange range, uint32_t generation);

}  // namespace penstock::spool
