#include "agent/spool/remains.h"

#include <algorithm>

#include "agent/spool/rows.h"
#include "agent/spool/segment_scan.h"

namespace penstock::spool {

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

bool RemainsScan::is_sound(Connection& db, int64_t id, LaneId lane) {
  auto query = db.prepare("SELECT payload FROM seg WHERE id=?");
  if (!query) return false;
  auto row = query->bind(1, id).step();
  if (!row || !*row) return false;
  const auto decoded = codec_.parse(query->bytes_at(0));
  return decoded && decoded->header.lane == lane;
}

bool RemainsScan::step(Connection& db, int rows) {
  auto query =
      db.prepare("SELECT id, lane, first_seq, count FROM seg WHERE id>? ORDER BY id LIMIT ?");
  if (!query) return true;
  query->bind(1, after_).bind(2, int64_t{rows});
  for (int i = 0; i < rows; ++i) {
    auto row = query->step();
    if (!row || !*row) return true;
    after_ = query->int_at(0);
    const int64_t lane = query->int_at(1);
    const int64_t first = query->int_at(2);
    const int64_t count = query->int_at(3);
    if (lane < 0 || lane > int64_t{kMaxLane} || first < 1 || count < 1 || count > INT32_MAX)
      continue;
    const auto id = static_cast<LaneId>(lane);
    const auto from = static_cast<Seq>(first);
    if (!matters(id, {from, from + static_cast<Seq>(count) - 1})) continue;
    has_pages_ = true;
    has_records_ = is_sound(db, after_, id);
    if (has_records_) return true;
  }
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
