#include "agent/spool/offline_rows.h"

#include <limits>

#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

using Kind = FieldValue::Kind;
using Values = std::vector<FieldValue>;

constexpr size_t kPayloadField = 6;
constexpr size_t kRecordField = 5;

bool is_whole(const FieldValue& value) { return value.bytes.size() == value.size_bytes; }

// A letter a value: n null, i integer, t text, b blob, ? null or anything. More values may follow:
// later formats only add columns.
bool has_shape(const Values& values, std::string_view shape) {
  if (values.size() < shape.size()) return false;
  for (size_t i = 0; i < shape.size(); ++i) {
    const Kind kind = values[i].kind;
    const bool good = shape[i] == '?'   ? true
                      : shape[i] == 'n' ? kind == Kind::kNull
                      : shape[i] == 'i' ? kind == Kind::kInteger
                      : shape[i] == 't' ? kind == Kind::kText
                                        : kind == Kind::kBlob;
    if (!good) return false;
  }
  return true;
}

std::string_view shape_of(FoundTable table) {
  switch (table) {
    case FoundTable::kEpoch:
      return "ntttti";
    case FoundTable::kLane:
      return "nttii";
    case FoundTable::kSegment:
      return "niiiiib";
    case FoundTable::kQuarantine:
      return "iiiitb";
    case FoundTable::kFate:
      return "iiiiit";
    case FoundTable::kClock:
      return "ntii";
  }
  return "";
}

bool is_lane(int64_t lane) { return lane >= 0 && lane <= int64_t{kMaxLane}; }
bool is_seq(int64_t seq) { return seq >= 1 && static_cast<Seq>(seq) < kMaxSeq; }
bool is_epoch(int64_t epoch) {
  return epoch >= 1 && epoch <= int64_t{std::numeric_limits<uint32_t>::max()};
}

std::optional<FoundRow> segment_row(int64_t rowid, const Values& v) {
  const int64_t count = v[3].integer;
  if (!is_lane(v[1].integer) || !is_seq(v[2].integer) || count < 1 ||
      count > std::numeric_limits<int32_t>::max() || !is_epoch(v[5].integer)) {
    return std::nullopt;
  }
  return FoundSegment{rowid,
                      static_cast<LaneId>(v[1].integer),
                      static_cast<Seq>(v[2].integer),
                      static_cast<uint32_t>(count),
                      v[4].integer,
                      static_cast<uint32_t>(v[5].integer),
                      v[kPayloadField].size_bytes};
}

std::optional<FoundRow> quarantine_row(const Values& v) {
  if (!is_lane(v[0].integer) || !is_seq(v[1].integer) || !is_epoch(v[2].integer))
    return std::nullopt;
  return FoundQuarantine{static_cast<LaneId>(v[0].integer),   static_cast<Seq>(v[1].integer),
                         static_cast<uint32_t>(v[2].integer), v[3].integer,
                         v[kRecordField].size_bytes,          std::string(v[4].bytes)};
}

std::optional<FoundRow> fate_row(const Values& v) {
  if (!is_lane(v[0].integer) || !is_seq(v[1].integer) || !is_seq(v[2].integer) ||
      v[1].integer > v[2].integer || v[3].integer < 1) {
    return std::nullopt;
  }
  return FoundFate{static_cast<LaneId>(v[0].integer),
                   {static_cast<Seq>(v[1].integer), static_cast<Seq>(v[2].integer)},
                   v[3].integer,
                   v[4].integer,
                   std::string(v[5].bytes)};
}

std::optional<FoundRow> lane_row(int64_t rowid, const Values& v) {
  if (!is_lane(rowid) || !is_whole(v[1]) || !is_whole(v[2]) || v[3].integer < 0 ||
      !is_seq(v[4].integer) || v[3].integer >= v[4].integer) {
    return std::nullopt;
  }
  FoundLane lane{static_cast<LaneId>(rowid),
                 {std::string(v[1].bytes), std::string(v[2].bytes)},
                 static_cast<Seq>(v[3].integer),
                 static_cast<Seq>(v[4].integer),
                 {},
                 {},
                 0,
                 0};
  if (!has_shape(v, "nttiiiiii")) return lane;  // without counts
  lane.counts =
      FateCounts{static_cast<uint64_t>(v[5].integer), static_cast<uint64_t>(v[6].integer),
                 static_cast<uint64_t>(v[7].integer), static_cast<uint64_t>(v[8].integer)};
  if (has_shape(v, "nttiiiiiii") && is_seq(v[9].integer))
    lane.first_seq = static_cast<Seq>(v[9].integer);
  if (has_shape(v, "nttiiiiiii??ii")) {
    lane.counts->dropped_age = static_cast<uint64_t>(v[12].integer);
    lane.refused = static_cast<uint64_t>(v[13].integer);
  }
  return lane;
}

std::optional<FoundRow> epoch_row(int64_t rowid, const Values& v) {
  if (!is_epoch(rowid) || !is_whole(v[1]) || !is_whole(v[2]) || !is_whole(v[3]))
    return std::nullopt;
  return FoundEpoch{static_cast<uint32_t>(rowid), std::string(v[1].bytes), std::string(v[2].bytes),
                    std::string(v[3].bytes), v[5].integer};
}

std::optional<FoundRow> clock_row(int64_t rowid, const Values& v) {
  if (rowid < 0 || !is_whole(v[1])) return std::nullopt;
  return ClockMark{rowid, std::string(v[1].bytes), v[2].integer, v[3].integer != 0};
}

}  // namespace

std::optional<FoundRow> row_of(FoundTable table, int64_t rowid, const Values& values) {
  if (!has_shape(values, shape_of(table))) return std::nullopt;
  switch (table) {
    case FoundTable::kEpoch:
      return epoch_row(rowid, values);
    case FoundTable::kLane:
      return lane_row(rowid, values);
    case FoundTable::kSegment:
      return segment_row(rowid, values);
    case FoundTable::kQuarantine:
      return quarantine_row(values);
    case FoundTable::kFate:
      return fate_row(values);
    case FoundTable::kClock:
      return clock_row(rowid, values);
  }
  return std::nullopt;
}

std::optional<FoundTable> table_by_shape(const Values& values) {
  for (const auto table : {FoundTable::kEpoch, FoundTable::kLane, FoundTable::kSegment,
                           FoundTable::kQuarantine, FoundTable::kFate}) {
    if (has_shape(values, shape_of(table))) return table;
  }
  return std::nullopt;
}

std::optional<size_t> blob_field(FoundTable table) {
  if (table == FoundTable::kSegment) return kPayloadField;
  if (table == FoundTable::kQuarantine) return kRecordField;
  return std::nullopt;
}

}  // namespace penstock::spool
