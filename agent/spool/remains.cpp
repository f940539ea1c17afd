#include "agent/spool/remains.h"

#include <algorithm>

#include <sqlite3.h>

#include "agent/spool/rows.h"
#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

constexpr int64_t kSingleSteps = 256;
constexpr int64_t kMaxStride = int64_t{1} << 40;

// To be asked at once: kTransient where a read that fails may pass, else kCorrupt.
Error judged(const Connection& db, Error error) {
  const bool may_pass = error.kind == ErrorKind::kTransient || db.last_code() == SQLITE_IOERR;
  error.kind = may_pass ? ErrorKind::kTransient : ErrorKind::kCorrupt;
  return error;
}

}  // namespace

// Counted as damaged, or given out again while the file was parked, or of a lane nobody knows.
bool RemainsScan::matters(LaneId lane, SeqRange range) const {
  if (!of_.lanes.contains(lane)) return true;
  const auto damaged = of_.damaged.find(lane);
  if (damaged != of_.damaged.end() && damaged->second.overlaps(range)) return true;
  if (!of_.parked) return false;
  const auto end = of_.parked->ends.find(lane);
  return end == of_.parked->ends.end() || range.last >= end->second;
}

bool RemainsScan::has_own_damage() const {
  return std::any_of(of_.own.begin(), of_.own.end(), [this](const auto& own) {
    const auto damaged = of_.damaged.find(own.first);
    return damaged != of_.damaged.end() && !own.second.empty() &&
           damaged->second.overlaps(own.second);
  });
}

Result<bool> RemainsScan::step(Connection& db, int rows, bool waits) {
  waits_ = waits;
  auto read = read_rows(db, rows);
  if (read) return *read || has_records_;
  const bool may_pass = read.error().kind == ErrorKind::kTransient;
  if (may_pass && waits) return read;
  return step_over(!may_pass);
}

// True: read to the end.
Result<bool> RemainsScan::read_rows(Connection& db, int rows) {
  auto query =
      db.prepare("SELECT id, lane, first_seq, count FROM seg WHERE id>=? ORDER BY id LIMIT ?");
  if (!query) return judged(db, std::move(query).error());
  query->bind(1, from_).bind(2, int64_t{rows});
  for (int i = 0; i < rows && !has_records_; ++i) {
    auto row = query->step();
    if (!row) return judged(db, std::move(row).error());
    if (!*row) return true;
    const int64_t id = query->int_at(0);
    // A broken tree may lead back to where the scan has been, and round for ever.
    has_records_ = id < from_ || id == INT64_MAX;
    if (has_records_) return true;
    if (auto taken = take_row(db, *query, has_records_); !taken) return std::move(taken).error();
    from_ = id + 1;
    steps_ = 0;
  }
  return false;
}

Result<void> RemainsScan::take_row(Connection& db, const Statement& row, bool& is_sound) {
  const int64_t lane = row.int_at(1);
  const int64_t first = row.int_at(2);
  const int64_t count = row.int_at(3);
  if (lane < 0 || lane > int64_t{kMaxLane} || first < 1 || count < 1 || count > INT32_MAX)
    return {};
  const auto id = static_cast<LaneId>(lane);
  const auto from = static_cast<Seq>(first);
  if (!matters(id, {from, from + static_cast<Seq>(count) - 1})) return {};
  has_pages_ = true;
  return read_payload(db, row.int_at(0), id, is_sound);
}

// An error only where it may pass.
Result<void> RemainsScan::read_payload(Connection& db, int64_t id, LaneId lane, bool& is_sound) {
  auto query = db.prepare("SELECT payload FROM seg WHERE id=?");
  auto row = query ? query->bind(1, id).step() : Result<bool>(query.error());
  if (!row) {
    auto error = judged(db, std::move(row).error());
    return error.kind == ErrorKind::kTransient && waits_ ? Result<void>(std::move(error))
                                                         : Result<void>();
  }
  if (!*row) return {};
  const auto decoded = codec_.parse(query->bytes_at(0));
  is_sound = decoded && decoded->header.lane == lane;
  return {};
}

// As a start does (segment_scan.cpp): tries the ids behind the last one that could be read, at
// first one by one. True: the end cannot be reached. Nor is it where the medium does not answer,
// which may take its time for each of them.
bool RemainsScan::step_over(bool is_damage) {
  has_pages_ = true;
  if (steps_ == 0) {
    stride_ = 1;
    from_ = std::max<int64_t>(from_, 1);
  }
  has_records_ = !is_damage || stride_ > kMaxStride || from_ > INT64_MAX - stride_;
  if (has_records_) return true;
  from_ += stride_;
  if (++steps_ > kSingleSteps) stride_ *= 2;
  return false;
}

std::optional<KeptFor> RemainsScan::verdict() const {
  if (has_records_ || (of_.parked && of_.parked->has_gone_back)) return KeptFor::kRecords;
  if (has_pages_ || has_own_damage()) return KeptFor::kPages;
  return std::nullopt;
}

Result<void> add_damaged(Connection& db, std::map<LaneId, SeqRanges>& damaged) {
  auto query = db.prepare("SELECT lane, first_seq, last_seq FROM fate WHERE kind=1");
  if (!query) return std::move(query).error();
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return {};
    const SeqRange range{static_cast<Seq>(query->int_at(1)), static_cast<Seq>(query->int_at(2))};
    if (!range.empty()) damaged[static_cast<LaneId>(query->int_at(0))].add(range);
  }
}

}  // namespace penstock::spool
