#include "agent/spool/index_reader.h"

#include <algorithm>

namespace penstock::spool {
namespace {

constexpr char kColumns[] =
    "SELECT lane, first_seq, last_seq, segments, bytes, segments_before, bytes_before, entries "
    "FROM seg_index WHERE lane=? AND first_seq";
constexpr int64_t kLongestStep = int64_t{1} << 30;  // over ids whose pages cannot be read

Seq seq_at(const Statement& row, int column) { return static_cast<Seq>(row.int_at(column)); }

// A row of `lane` by the place of its first number: `order` is "<=? ORDER BY first_seq DESC" or the
// like.
Result<std::optional<IndexRow>> row_of(Connection& db, LaneId lane, std::string_view order,
                                       Seq first) {
  auto query = db.prepare(std::string(kColumns) + std::string(order) + " LIMIT 1");
  if (!query) return std::move(query).error();
  auto there = query->bind(1, int64_t{lane}).bind(2, first).step();
  if (!there) return std::move(there).error();
  if (!*there) return std::optional<IndexRow>();
  return std::optional(IndexRow{static_cast<LaneId>(query->int_at(0)),
                                {seq_at(*query, 1), seq_at(*query, 2)},
                                seq_at(*query, 3),
                                seq_at(*query, 4),
                                seq_at(*query, 5),
                                seq_at(*query, 6),
                                std::string(query->bytes_at(7))});
}

Result<std::optional<IndexRow>> row_at_or_before(Connection& db, LaneId lane, Seq first) {
  return row_of(db, lane, "<=? ORDER BY first_seq DESC", first);
}

Result<std::optional<IndexRow>> row_behind(Connection& db, LaneId lane, Seq first) {
  return row_of(db, lane, ">? ORDER BY first_seq", first);
}

// Ids between which the segments of a range are: the neighbouring rows say so, if they can.
std::pair<int64_t, int64_t> ids_around(Connection& db, LaneId lane, SeqRange range) {
  std::pair<int64_t, int64_t> ids{INT64_MIN, INT64_MAX};
  auto before = range.first > 1 ? row_at_or_before(db, lane, range.first - 1)
                                : Result<std::optional<IndexRow>>(std::optional<IndexRow>());
  if (before && *before && (*before)->range.last < range.first) {
    if (auto entries = entries_of(**before, 0)) ids.first = entries->back().id + 1;
  }
  auto behind = row_behind(db, lane, range.last);
  if (behind && *behind) {
    if (auto entries = entries_of(**behind, 0)) ids.second = entries->front().id - 1;
  }
  return ids;
}

}  // namespace

Result<int64_t> read_covered_id(Connection& db) {
  return db.number("SELECT coalesce(max(covered_id), 0) FROM index_state");
}

Result<std::vector<SegmentIndex::Absent>> read_indexed(Connection& db, uint32_t generation,
                                                       LaneId lane, Seq begins, Seq ends) {
  std::vector<SegmentIndex::Absent> found;
  auto moved = db.prepare(
      "SELECT first_seq, last_seq, segments, bytes FROM seg_index WHERE lane=? AND first_seq<? "
      "ORDER BY first_seq");
  if (!moved) return std::move(moved).error();
  moved->bind(1, int64_t{lane}).bind(2, std::min(begins, ends));
  for (;;) {
    auto row = moved->step();
    if (!row) return std::move(row).error();
    if (!*row) break;
    found.push_back(
        {{seq_at(*moved, 0), seq_at(*moved, 1)}, generation, seq_at(*moved, 2), seq_at(*moved, 3)});
  }
  auto first = row_behind(db, lane, begins - 1);
  if (!first) return std::move(first).error();
  auto last = row_at_or_before(db, lane, ends - 1);
  if (!last) return std::move(last).error();
  if (!*first || !*last || (*first)->range.first >= ends || (*last)->range.first < begins)
    return found;
  const IndexRow& head = **first;
  const IndexRow& tail = **last;
  // These two say where the lane begins and ends, and how much there is in between.
  for (const IndexRow* row : {&head, &tail}) {
    if (auto entries = entries_of(*row, generation); !entries) return std::move(entries).error();
  }
  found.push_back({{head.range.first, tail.range.last},
                   generation,
                   tail.segments_before + tail.segments - head.segments_before,
                   tail.bytes_before + tail.bytes - head.bytes_before});
  return found;
}

Result<IndexedSums> read_sums(Connection& db, LaneId lane, Seq begins) {
  auto last = row_at_or_before(db, lane, INT64_MAX);
  if (!last) return std::move(last).error();
  if (!*last || (*last)->range.first < begins) return IndexedSums{};
  return IndexedSums{(*last)->segments_before + (*last)->segments,
                     (*last)->bytes_before + (*last)->bytes};
}

Result<IndexPart> read_part(Connection& db, LaneId lane, Seq from,
                            const SegmentIndex::Absent& absent) {
  from = std::max(from, absent.range.first);
  auto row = row_at_or_before(db, lane, from);
  if (row && (!*row || (*row)->range.last < from)) row = row_behind(db, lane, from);
  if (!row) return std::move(row).error();
  // No segment is between `from` and the row that follows.
  if (!*row || (*row)->range.first > absent.range.last)
    return IndexPart{{from, absent.range.last}, {}};
  auto entries = entries_of(**row, absent.generation);
  if (!entries) return std::move(entries).error();
  return IndexPart{{std::min(from, (*row)->range.first), (*row)->range.last}, *std::move(entries)};
}

std::vector<IndexEntry> scan_part(Connection& db, LaneId lane, SeqRange range,
                                  uint32_t generation) {
  std::vector<IndexEntry> found;
  auto [id, last_id] = ids_around(db, lane, range);
  for (int64_t step = 1; id <= last_id && step <= kLongestStep;) {
    auto query = db.prepare(
        "SELECT id, lane, first_seq, count, length(payload) FROM seg WHERE id BETWEEN ? AND ? "
        "ORDER BY id");
    if (!query) return found;
    query->bind(1, id).bind(2, last_id);
    auto row = query->step();
    for (; row && *row && query->int_at(0) >= id; row = query->step()) {
      const IndexEntry entry{query->int_at(0), seq_at(*query, 2),
                             static_cast<uint32_t>(query->int_at(3)),
                             static_cast<uint32_t>(query->int_at(4)), generation};
      id = entry.id + 1;
      step = 1;
      const bool fits = query->int_at(1) == int64_t{lane} && entry.count > 0 &&
                        entry.first >= range.first && entry.last() <= range.last &&
                        (found.empty() || entry.first > found.back().last());
      if (fits) found.push_back(entry);
    }
    if (row && !*row) return found;
    id = std::max<int64_t>(id, 0) + step;  // behind a page that cannot be read
    step *= 2;
  }
  return found;
}

}  // namespace penstock::spool
