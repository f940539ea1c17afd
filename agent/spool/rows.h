// The rows of the database as values, and one transaction made of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/spool/age.h"
#include "agent/spool/index_row.h"
#include "agent/spool/segment_format.h"
#include "agent/spool/types.h"

namespace penstock::spool {

// As in the table `fate`, but that there both kinds of dropped are 3, told apart by their reason.
// Quarantined records have a table of their own.
enum class FateKind : int64_t {
  kQuarantined = 0,
  kDamaged = 1,
  kDiscarded = 2,
  kDroppedOverflow = 3,
  kDroppedAge = 4
};
inline constexpr size_t kFateKinds = 5;
inline constexpr std::string_view kAgeReason = "age";  // of a dropped range; else it is overflow
inline int64_t stored_kind(FateKind kind) {
  return static_cast<int64_t>(kind == FateKind::kDroppedAge ? FateKind::kDroppedOverflow : kind);
}

struct SegmentRow {
  int64_t id = 0;
  SegmentHeader header;
  std::string stored;  // SegmentCodec::build
};

// Of the records at or below a lane's cursor: how many did not end as delivered.
struct FateCounts {
  uint64_t quarantined = 0;
  uint64_t damaged = 0;
  uint64_t discarded = 0;
  uint64_t dropped = 0;      // for whatever cause
  uint64_t dropped_age = 0;  // of these
  uint64_t sum() const { return quarantined + damaged + discarded + dropped; }
  bool operator==(const FateCounts&) const = default;
};

struct LaneRow {
  LaneId lane = 0;
  LaneKey key;
  Seq cursor = 0;
  Seq next_seq = 1;
  FateCounts counts{};
  Seq first_seq =
      1;  // written with a lane's first row only: lower numbers are in older generations
  uint64_t refused = 0;           // second ledger
  uint64_t quarantine_bytes = 0;  // of its rows in the quarantine, whatever generation they are in
};

struct EpochRow {
  uint32_t id = 0;
  std::string name;  // 16 hex digits
  std::string agent_id;
  std::string machine_id;
  std::string filesystem;
  int64_t started_at_us = 0;
};

struct QuarantineRow {
  LaneId lane = 0;
  Seq seq = 0;
  uint32_t epoch = 0;
  int64_t at_us = 0;
  std::string reason;
  std::string record;
};

struct FateRow {
  LaneId lane = 0;
  SeqRange range;
  FateKind kind = FateKind::kDamaged;
  int64_t at_us = 0;
  std::string reason;
};

// Removals come first, so that their pages can be used by the rest.
struct Transaction {
  std::vector<int64_t> deletes;                  // ids of segments
  std::vector<std::pair<LaneId, Seq>> released;  // leave the quarantine
  std::vector<QuarantineRow> quarantine;
  std::vector<std::pair<LaneId, Seq>> unfated;  // before `fates`
  std::vector<FateRow> fates;
  std::vector<SegmentRow> segments;
  std::vector<LaneRow> lanes;
  std::vector<EpochRow> epochs;
  bool forgets_index = false;  // rows of the index written before are no good any more
  std::vector<IndexRow> index_rows;
  std::optional<int64_t> covered_id;  // segments of lower ids are in index rows now
  std::vector<std::pair<LaneId, Seq>>
      index_ended;               // index rows that end here or before are needed no more
  std::vector<ClockMark> marks;  // each replaces those from its first_segment on
  bool empty() const {
    return deletes.empty() && released.empty() && quarantine.empty() && fates.empty() &&
           segments.empty() && lanes.empty() && epochs.empty() && marks.empty() &&
           index_rows.empty() && !forgets_index;
  }
};

}  // namespace penstock::spool
