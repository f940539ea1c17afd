// Rows of table `seg_index`: where some successive segments of one lane are, so that neither the
// start nor a large backlog needs them all in memory. Pure.
//
// A row describes segments of its own file that an earlier commit, or its own, made durable. It is
// believed as a whole or not at all (CRC-32C, one over the columns alone, so that a start reads no
// entries); where it cannot be, the columns of `seg` say the same. Byte form: FORMAT.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/index_entry.h"

namespace penstock::spool {

struct IndexRow {
  LaneId lane = 0;
  SeqRange range;  // from the first record of the first segment to the last of the last
  uint64_t segments = 0;
  uint64_t bytes = 0;
  // Sums over the lane's earlier rows in the same file, since it was begun.
  uint64_t segments_before = 0;
  uint64_t bytes_before = 0;
  uint32_t check = 0;  // of what is above
  std::string entries;
};

// Do the columns agree with their checksum?
bool is_sound(const IndexRow& row);

// Of index_state.covered_id: a greater one would hide segments.
uint32_t covered_check(int64_t covered_id);

// `entries` ascending and disjoint, not empty, all of one lane.
IndexRow make_index_row(LaneId lane, const std::vector<IndexEntry>& entries,
                        uint64_t segments_before, uint64_t bytes_before);

// The segments of a row read from `generation`; kCorrupt when it does not agree with itself.
Result<std::vector<IndexEntry>> entries_of(const IndexRow& row, uint32_t generation);

}  // namespace penstock::spool
