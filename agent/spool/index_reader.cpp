#include "agent/spool/index_reader.h"

#include <algorithm>
#include <limits>
#include <string>

#include <sqlite3.h>

namespace penstock::spool {
namespace {

constexpr std::string_view kColumns =
    "lane, first_seq, last_seq, segments, bytes, segments_before, bytes_before, checksum";
constexpr int64_t kLongestStep = int64_t{1} << 30;  // over ids whose pages cannot be read
constexpr int kDamagedInARow = 64;                  // rows passed to find a good one

Seq seq_at(const Statement& row, int column) { return static_cast<Seq>(row.int_at(column)); }

IndexRow take_row(const Statement& row, bool with_entries) {
  return {static_cast<LaneId>(row.int_at(0)),
          {seq_at(row, 1), seq_at(row, 2)},
          seq_at(row, 3),
          seq_at(row, 4),
          seq_at(row, 5),
          seq_at(row, 6),
          static_cast<uint32_t>(row.int_at(7)),
          std::string(with_entries ? row.bytes_at(8) : std::string_view())};
}

// Of a row's entries, whatever generation they are of.
std::optional<std::pair<int64_t, int64_t>> ids_of(const IndexRow& row) {
  const auto entries = entries_of(row, 0);
  if (!entries) return std::nullopt;
  return {{entries->front().id, entries->back().id}};
}

std::string select(std::string_view where, bool with_entries) {
  return "SELECT " + std::string(kColumns) + (with_entries ? ", entries" : "") +
         " FROM seg_index WHERE lane=? AND first_seq" + std::string(where);
}

// A statement that is read no further when this goes: it would keep its read transaction open.
class Reading {
 public:
  explicit Reading(Statement& query) : query_(query) {}
  ~Reading() { query_.reset(); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  Statement& query_;
};

Error damaged(LaneId lane) {
  return {
      ErrorKind::kCorrupt, "the index rows of lane " + std::to_string(lane) + " are damaged", {}};
}

// What adjoins the last stretch is part of it.
void join(std::vector<SegmentIndex::Absent>& absents, const SegmentIndex::Absent& next) {
  if (absents.empty() || absents.back().range.last + 1 != next.range.first) {
    absents.push_back(next);
    return;
  }
  absents.back().range.last = next.range.last;
  absents.back().segments += next.segments;
  absents.back().bytes += next.bytes;
}

}  // namespace

Result<IndexReader> IndexReader::open(Connection& db) {
  auto tables = db.number(
      "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name IN ('seg_index', "
      "'index_state')");
  if (!tables) return std::move(tables).error();
  IndexReader reader(db);
  reader.has_rows_ = *tables == 2;
  return reader;
}

Result<int64_t> IndexReader::covered_id() {
  if (!has_rows_) return 0;
  auto row = db_->prepare("SELECT covered_id, checksum FROM index_state WHERE id=0");
  if (!row) return std::move(row).error();
  auto there = row->step();
  if (!there) return std::move(there).error();
  if (!*there) return 0;
  const int64_t covered = row->int_at(0);
  if (row->int_at(1) == int64_t{covered_check(covered)}) return covered;
  return Error{ErrorKind::kCorrupt, "what its index covers is damaged", {}};
}

Result<std::optional<IndexReader::Head>> IndexReader::lane_behind(int64_t lane) {
  if (!has_rows_) return std::optional<Head>();
  auto query = prepared(kNextLane);
  if (!query) return std::move(query).error();
  const Reading reading(**query);
  auto there = (*query)->bind(1, lane).step();
  if (!there) return std::move(there).error();
  if (!*there || (*query)->int_at(0) <= lane) return std::optional<Head>();
  return std::optional(Head{(*query)->int_at(0), take_row(**query, false)});
}

Result<Statement*> IndexReader::prepared(Query which) {
  auto& kept = prepared_[which];
  if (!kept) {
    const bool with_entries = which == kAtOrBeforeFull || which == kBehindFull;
    const bool descends = which == kAtOrBefore || which == kAtOrBeforeFull;
    auto query = db_->prepare(
        which == kNextLane ? "SELECT " + std::string(kColumns) +
                                 " FROM seg_index WHERE lane>? ORDER BY lane, first_seq LIMIT 1"
        : which == kBelow ? select("<? ORDER BY first_seq", false)
        : descends        ? select("<=? ORDER BY first_seq DESC LIMIT 1", with_entries)
                          : select(">? ORDER BY first_seq LIMIT 1", with_entries));
    if (!query) return std::move(query).error();
    kept = std::move(*query);
  }
  return &*kept;
}

Result<IndexReader::Row> IndexReader::one_row(Query which, LaneId lane, Seq first) {
  auto query = prepared(which);
  if (!query) return std::move(query).error();
  const Reading reading(**query);
  auto there = (*query)->bind(1, int64_t{lane}).bind(2, first).step();
  if (!there) return std::move(there).error();
  if (!*there) return Row();
  return Row(take_row(**query, which == kAtOrBeforeFull || which == kBehindFull));
}

Result<IndexReader::Row> IndexReader::at_or_before(LaneId lane, Seq first, bool with_entries) {
  return one_row(with_entries ? kAtOrBeforeFull : kAtOrBefore, lane, first);
}

Result<IndexReader::Row> IndexReader::behind(LaneId lane, Seq first, bool with_entries) {
  return one_row(with_entries ? kBehindFull : kBehind, lane, first);
}

Result<void> IndexReader::moved_here(LaneId lane, uint32_t generation, Seq below,
                                     std::vector<SegmentIndex::Absent>& absents) {
  auto query = prepared(kBelow);
  if (!query) return std::move(query).error();
  const Reading reading(**query);
  (*query)->bind(1, int64_t{lane}).bind(2, below);
  for (;;) {
    auto there = (*query)->step();
    if (!there) return std::move(there).error();
    if (!*there) return {};
    const IndexRow row = take_row(**query, false);
    if (!is_sound(row)) return damaged(lane);
    join(absents, {row.range, generation, row.segments, row.bytes});
  }
}

Result<IndexedLane> IndexReader::lane(IndexRow head, uint32_t generation, Seq begins, Seq ends) {
  IndexedLane out;
  const LaneId lane = head.lane;
  if (head.range.first < begins) {
    auto done = moved_here(lane, generation, std::min(begins, ends), out.absents);
    if (!done) return std::move(done).error();
    auto own = behind(lane, begins - 1, false);
    if (!own) return std::move(own).error();
    if (!*own) return out;
    head = **std::move(own);
  }
  if (head.range.first >= ends) return out;
  auto tail = at_or_before(lane, ends - 1, false);
  if (!tail) return std::move(tail).error();
  if (!*tail || (*tail)->range.first < begins) return out;
  // These two say where the lane begins and ends, and how much there is in between.
  if (!is_sound(head) || !is_sound(**tail)) return damaged(lane);
  out.sums = {(*tail)->segments_before + (*tail)->segments, (*tail)->bytes_before + (*tail)->bytes};
  if (out.sums.segments < head.segments_before || out.sums.bytes < head.bytes_before)
    return damaged(lane);
  join(out.absents, {{head.range.first, (*tail)->range.last},
                     generation,
                     out.sums.segments - head.segments_before,
                     out.sums.bytes - head.bytes_before});
  return out;
}

Result<IndexPart> IndexReader::part(LaneId lane, Seq from, const SegmentIndex::Absent& absent) {
  from = std::max(from, absent.range.first);
  IndexPart out{absent.range, {}, false};
  if (!has_rows_) return out;
  auto row = at_or_before(lane, from, true);
  for (int i = 0; i < kDamagedInARow; ++i) {
    if (!row) return std::move(row).error();
    if (!*row) break;
    auto entries = entries_of(**row, absent.generation);
    if (entries && (*row)->range.last >= from) return IndexPart{(*row)->range, *std::move(entries)};
    if (entries) {
      out.range.first = std::clamp((*row)->range.last + 1, absent.range.first, from);
      break;
    }
    out.is_doubtful = true;
    row = at_or_before(lane, (*row)->range.first - 1, true);
  }
  row = behind(lane, from, true);
  for (int i = 0; i < kDamagedInARow; ++i) {
    if (!row) return std::move(row).error();
    if (!*row || (*row)->range.first > absent.range.last) break;
    auto entries = entries_of(**row, absent.generation);
    if (entries && !out.is_doubtful)
      return IndexPart{{out.range.first, (*row)->range.last}, *std::move(entries)};
    if (entries) {
      out.range.last = (*row)->range.first - 1;
      break;
    }
    out.is_doubtful = true;
    row = behind(lane, (*row)->range.first, true);
  }
  return out;
}

std::pair<int64_t, int64_t> IndexReader::ids_around(LaneId lane, SeqRange range) {
  std::pair<int64_t, int64_t> ids{0, std::numeric_limits<int64_t>::max()};
  if (!has_rows_) return ids;
  auto row = at_or_before(lane, range.first - 1, true);
  for (int i = 0; i < kDamagedInARow && row && *row; ++i) {
    const auto good = ids_of(**row);
    if (good && (*row)->range.last < range.first) {
      ids.first = good->second + 1;
      break;
    }
    row = at_or_before(lane, (*row)->range.first - 1, true);
  }
  row = behind(lane, range.last, true);
  for (int i = 0; i < kDamagedInARow && row && *row; ++i) {
    if (const auto good = ids_of(**row)) {
      ids.second = good->first - 1;
      break;
    }
    row = behind(lane, (*row)->range.first, true);
  }
  return ids;
}

FoundSegments search_segments(Connection& db, LaneId lane, SeqRange range,
                              std::pair<int64_t, int64_t> ids, uint32_t generation) {
  FoundSegments found;
  auto [id, last_id] = ids;
  for (int64_t step = 1; id <= last_id && step <= kLongestStep; step *= 2) {
    auto query = db.prepare(
        "SELECT id, lane, first_seq, count, length(payload) FROM seg WHERE id BETWEEN ? AND ? "
        "ORDER BY id");
    if (!query) {
      found.error = std::move(query).error();
      break;
    }
    query->bind(1, id).bind(2, last_id);
    auto row = query->step();
    for (; row && *row && query->int_at(0) >= id; row = query->step()) {
      const int64_t count = query->int_at(3);
      const IndexEntry entry{query->int_at(0), seq_at(*query, 2), static_cast<uint32_t>(count),
                             static_cast<uint32_t>(query->int_at(4)), generation};
      id = entry.id + 1;
      step = 1;
      const bool fits = query->int_at(1) == int64_t{lane} && count > 0 && count <= INT32_MAX &&
                        entry.first >= range.first && entry.last() <= range.last;
      if (fits) found.entries.push_back(entry);
    }
    if (row && !*row) break;
    const bool is_io = !row && db.last_code() == SQLITE_IOERR;
    if (!found.error) found.error = row ? damaged(lane) : std::move(row).error();
    if (is_io) found.error->kind = ErrorKind::kTransient;
    id += step;  // behind a page that cannot be read
  }
  const auto by_first = [](const IndexEntry& a, const IndexEntry& b) { return a.first < b.first; };
  std::stable_sort(found.entries.begin(), found.entries.end(), by_first);
  Seq last = 0;
  std::erase_if(found.entries, [&last](const IndexEntry& entry) {
    if (entry.first <= last) return true;
    last = entry.last();
    return false;
  });
  return found;
}

}  // namespace penstock::spool
