// The rows of a spool's tables as they are found on pages, with nothing believed that cannot be: by
// the table they were found in, or, on a loose page, by their shape. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/spool/age.h"
#include "agent/spool/offline_page.h"
#include "agent/spool/rows.h"
#include "agent/spool/types.h"

namespace penstock::spool {

// Rows of the clock are read by their table alone, never from a loose page.
enum class FoundTable { kEpoch, kLane, kSegment, kQuarantine, kFate, kClock };

struct FoundEpoch {
  uint32_t id = 0;
  std::string name;
  std::string agent_id;
  std::string machine_id;
  int64_t started_us = 0;
};

struct FoundLane {
  LaneId lane = 0;
  LaneKey key;
  Seq cursor = 0;
  Seq next_seq = 1;
  // Records at or below the cursor by fate, where the row says so; else the tables are counted.
  std::optional<FateCounts> counts;
  // What older files hold from here on was never called durable.
  std::optional<Seq> first_seq;
  uint64_t refused = 0;  // turned away before they had a number
  uint32_t file = 0;     // for the reader: index of the file it was found in, newest first
};

struct FoundSegment {
  int64_t id = 0;
  LaneId lane = 0;
  Seq first = 0;
  uint32_t count = 0;
  int64_t newest_us = 0;
  uint32_t epoch = 0;
  uint64_t stored_bytes = 0;
  Seq last() const { return first + count - 1; }
};

struct FoundQuarantine {
  LaneId lane = 0;
  Seq seq = 0;
  uint32_t epoch = 0;
  int64_t at_us = 0;
  uint64_t record_bytes = 0;
  std::string reason;
};

struct FoundFate {
  LaneId lane = 0;
  SeqRange range;
  int64_t kind = 0;
  int64_t at_us = 0;
  std::string reason;
};

using FoundRow =
    std::variant<FoundEpoch, FoundLane, FoundSegment, FoundQuarantine, FoundFate, ClockMark>;

// The row in a record of `table`; nullopt when its values cannot be such a row's.
std::optional<FoundRow> row_of(FoundTable table, int64_t rowid,
                               const std::vector<FieldValue>& values);

// The table whose rows look like this; nullopt for none of ours.
std::optional<FoundTable> table_by_shape(const std::vector<FieldValue>& values);

// Which value of a row of `table` is the blob: payload or record.
std::optional<size_t> blob_field(FoundTable table);

}  // namespace penstock::spool
