// Table `seg_index` of one file, read while it is open.
//
// Called by whoever owns the connection, on that thread. Rows are only a hint: what one says wrong,
// or a page lost, is looked for in `seg` itself (search_segments), between the ids that the good
// rows around it name. Files of earlier versions have no such table, and so no rows.
#pragma once

#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "agent/spool/index_row.h"
#include "agent/spool/segment_index.h"
#include "agent/spool/sqlite.h"

namespace penstock::spool {

// The sums the next row of a lane begins with.
struct IndexedSums {
  uint64_t segments = 0;
  uint64_t bytes = 0;
};

// What rows say of a lane.
struct IndexedLane {
  std::vector<SegmentIndex::Absent> absents;  // ascending, those that adjoin joined
  IndexedSums sums;
};

// All segments of a lane in `range`.
struct IndexPart {
  SeqRange range;
  std::vector<IndexEntry> entries;
  bool is_doubtful = false;  // a row there is damaged; no entries
};

class IndexReader {
 public:
  static Result<IndexReader> open(Connection& db);

  // Segments of lower ids are in rows; 0: none is.
  Result<int64_t> covered_id();
  // The first row, without its entries, of the first lane behind `lane` (-1: of all) that has rows.
  // Its lane need not be one that can be.
  struct Head {
    int64_t lane = 0;
    IndexRow row;
  };
  Result<std::optional<Head>> lane_behind(int64_t lane);
  // `head`: the lane's first row. `begins`: the lane's first number that is the file's own; what is
  // below was moved there, row by row. Numbers from `ends` on are a newer file's. kCorrupt when a
  // row that is looked at is damaged: of a lane's own numbers the first and the last.
  Result<IndexedLane> lane(IndexRow head, uint32_t generation, Seq begins, Seq ends);
  // A range that begins at or before `from` and holds the segment that holds or follows it; as few
  // segments as one row says, or all of `absent` when there is no row.
  Result<IndexPart> part(LaneId lane, Seq from, const SegmentIndex::Absent& absent);
  // The least and the greatest id that segments of `range` can have, by the rows around it.
  std::pair<int64_t, int64_t> ids_around(LaneId lane, SeqRange range);

 private:
  using Row = std::optional<IndexRow>;
  explicit IndexReader(Connection& db) : db_(&db) {}
  Result<Row> at_or_before(LaneId lane, Seq first, bool with_entries);
  Result<Row> behind(LaneId lane, Seq first, bool with_entries);
  Result<void> moved_here(LaneId lane, uint32_t generation, Seq below,
                          std::vector<SegmentIndex::Absent>& absents);

  enum Query { kNextLane, kBelow, kAtOrBefore, kAtOrBeforeFull, kBehind, kBehindFull, kQueries };
  Result<Row> one_row(Query which, LaneId lane, Seq first);
  // Compiled once: at a start with many lanes and files that was half of its time.
  Result<Statement*> prepared(Query which);

  Connection* db_;
  std::array<std::optional<Statement>, kQueries> prepared_;
  bool has_rows_ = false;
};

// The segments of a lane in a range with ids in another, from `seg`, ascending. Pages that cannot
// be read are stepped over; `error` is the first such.
struct FoundSegments {
  std::vector<IndexEntry> entries;
  std::optional<Error> error;
};
FoundSegments search_segments(Connection& db, LaneId lane, SeqRange range,
                              std::pair<int64_t, int64_t> ids, uint32_t generation);

}  // namespace penstock::spool
