#include "agent/spool/segment_scan.h"

#include <algorithm>

#include "agent/spool/segment_format.h"

namespace penstock::spool {
namespace {

using Entries = std::vector<IndexEntry>;

constexpr int64_t kSingleSteps = 256;
constexpr int64_t kMaxStep = int64_t{1} << 40;

bool is_possible(const IndexEntry& entry) {
  return entry.count > 0 && entry.first > 0 && entry.first < kMaxSeq && entry.last() < kMaxSeq;
}

class Scan {
 public:
  Scan(Connection& db, const ScanContext& context, const Log& log)
      : db_(db), context_(context), ledger_(context.ledger), log_(log) {}

  Result<ScannedSegments> run() {
    auto prepared = db_.prepare("SELECT payload FROM seg WHERE id=?");
    if (!prepared) return std::move(prepared).error();
    payload_ = std::move(*prepared);
    if (auto done = read_columns(); !done) return std::move(done).error();
    for (auto it = out_.lanes.begin(); it != out_.lanes.end();) {
      // What was moved here from an older generation has a later id than its successors.
      std::stable_sort(it->second.begin(), it->second.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      if (fits(it->first, it->second)) {
        ++it;
        continue;
      }
      for (const auto& entry : it->second) doubtful_.emplace_back(it->first, entry);
      it = out_.lanes.erase(it);
    }
    if (auto placed = place_doubtful(); !placed) return std::move(placed).error();
    return std::move(out_);
  }

 private:
  Result<void> read_columns();
  Result<bool> read_columns_from(int64_t id);
  void take_row(Statement& row);
  bool is_indexed(LaneId lane, const IndexEntry& entry) const;
  Seq indexed_to(LaneId lane) const;
  bool fits(LaneId lane, const Entries& entries);
  bool has_gap(LaneId lane, SeqRange gap) const;
  Result<void> place_doubtful();
  bool insert(LaneId lane, const IndexEntry& entry);
  bool touches(LaneId lane, const IndexEntry& entry) const;
  std::optional<SegmentHeader> header_of(int64_t id);

  Connection& db_;
  const ScanContext& context_;
  const Ledger& ledger_;
  const Log& log_;
  SegmentCodec codec_;
  Statement payload_;
  ScannedSegments out_;
  std::vector<std::pair<LaneId, IndexEntry>> doubtful_;  // rows whose columns cannot all be right
};

// Behind a page that cannot be read, tries the ids after the last one that could be, at first one
// by one: the rows of a page are few. Rows are never looked for twice.
Result<void> Scan::read_columns() {
  int64_t from = context_.from_id;
  out_.next_id = std::max(out_.next_id, from);
  for (int64_t step = 1, turn = 0;; ++turn) {
    const int64_t before = out_.next_id;
    auto ended = read_columns_from(from);
    if (ended && *ended) return {};
    if (context_.strict) return std::move(ended).error();
    if (out_.next_id != before || turn == 0) {
      log_.error("spool generation {}: rows from {} on cannot be read: {}", context_.generation,
                 out_.next_id, ended.error().what);
      step = 1;
      from = out_.next_id;
    }
    if (step > kMaxStep) return {};
    from += step;
    if (from > out_.next_id + kSingleSteps) step *= 2;
  }
}

// True: read to the end.
Result<bool> Scan::read_columns_from(int64_t id) {
  auto query = db_.prepare(
      "SELECT id, lane, first_seq, count, length(payload) FROM seg WHERE id>=? ORDER BY id");
  if (!query) return std::move(query).error();
  query->bind(1, id);
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return true;
    // A broken tree may lead back to where the scan has been, and round for ever.
    if (query->int_at(0) < std::max(id, out_.next_id))
      return Error{ErrorKind::kCorrupt, "its rows are not in order", {}};
    take_row(*query);
  }
}

void Scan::take_row(Statement& row) {
  const int64_t lane = row.int_at(1);
  const int64_t count = row.int_at(3);
  const IndexEntry entry{row.int_at(0), static_cast<Seq>(row.int_at(2)),
                         count > 0 && count <= INT32_MAX ? static_cast<uint32_t>(count) : 0,
                         static_cast<uint32_t>(row.int_at(4)), context_.generation};
  out_.next_id = entry.id + 1;
  const bool known =
      lane >= 0 && lane <= int64_t{kMaxLane} && ledger_.has(static_cast<LaneId>(lane));
  if (known && is_indexed(static_cast<LaneId>(lane), entry)) return;
  if (known && is_possible(entry)) {
    out_.lanes[static_cast<LaneId>(lane)].push_back(entry);
  } else {
    doubtful_.emplace_back(kMaxLane + 1, entry);  // no lane to believe in
  }
}

bool Scan::is_indexed(LaneId lane, const IndexEntry& entry) const {
  const auto found = context_.indexed.find(lane);
  return found != context_.indexed.end() && is_possible(entry) &&
         found->second.overlaps(entry.range());
}

// The last record of the lane that the index has.
Seq Scan::indexed_to(LaneId lane) const {
  const auto found = context_.indexed.find(lane);
  return found == context_.indexed.end() || found->second.empty() ? 0
                                                                  : found->second.all().back().last;
}

// Do the segments of a lane follow each other, with nothing between them that is undecided? Does
// the newest say so too?
bool Scan::fits(LaneId lane, const Entries& entries) {
  const auto begins = context_.begins.find(lane);
  const Seq cursor = ledger_.state(lane).cursor;
  const Seq first = begins != context_.begins.end() ? begins->second : kMaxSeq;
  Seq expected = indexed_to(lane) + 1;
  for (const auto& entry : entries) {
    const SeqRange gap{std::max({expected, cursor + 1, first}), entry.first - 1};
    if (entry.first < expected || has_gap(lane, gap)) return false;
    expected = entry.last() + 1;
  }
  const auto header = header_of(entries.back().id);
  const IndexEntry& newest = entries.back();
  return !header ||
         (header->lane == lane && header->first == newest.first && header->count == newest.count);
}

bool Scan::has_gap(LaneId lane, SeqRange gap) const {
  const auto elsewhere = context_.held_elsewhere.find(lane);
  for (const auto& part : ledger_.undecided(lane, gap)) {
    if (elsewhere == context_.held_elsewhere.end() || !elsewhere->second.missing_in(part).empty())
      return true;
  }
  return false;
}

// A sound segment of a lane without a row: the file has lost rows of `lane_state`. To go on with it
// would give that lane's numbers out again.
Result<void> Scan::place_doubtful() {
  std::vector<std::pair<LaneId, IndexEntry>> unreadable;
  for (auto& [lane, entry] : doubtful_) {
    if (const auto header = header_of(entry.id)) {
      const IndexEntry truth{entry.id, header->first, header->count, entry.bytes, entry.generation};
      if (insert(header->lane, truth)) continue;
      if (context_.strict && !ledger_.has(header->lane)) {
        return Error{ErrorKind::kCorrupt,
                     "it holds segments of lane " + std::to_string(header->lane) +
                         ", which its table of lanes does not name",
                     {}};
      }
      out_.has_strangers = out_.has_strangers || !ledger_.has(header->lane);
      log_.error("spool segment {} (lane {}, records {}..{}) has no place and is left out",
                 entry.id, header->lane, truth.first, truth.last());
    } else {
      unreadable.emplace_back(lane, entry);
    }
  }
  for (const auto& [lane, entry] : unreadable) {
    if (touches(lane, entry) && insert(lane, entry)) continue;
    log_.error("spool segment {} cannot be read and is left out", entry.id);
  }
  return {};
}

// False when the lane is unknown or other records of it are there already.
bool Scan::insert(LaneId lane, const IndexEntry& entry) {
  if (!ledger_.has(lane) || !is_possible(entry)) return false;
  Entries& entries = out_.lanes[lane];
  const auto next =
      std::partition_point(entries.begin(), entries.end(),
                           [&entry](const IndexEntry& other) { return other.first < entry.first; });
  if (next != entries.end() && next->first <= entry.last()) return false;
  if (next != entries.begin() && std::prev(next)->last() >= entry.first) return false;
  entries.insert(next, entry);
  return true;
}

// Does it join what is known of the lane?
bool Scan::touches(LaneId lane, const IndexEntry& entry) const {
  if (!ledger_.has(lane) || !is_possible(entry)) return false;
  if (entry.first <= std::max(ledger_.state(lane).cursor, indexed_to(lane)) + 1) return true;
  const auto found = out_.lanes.find(lane);
  return found != out_.lanes.end() &&
         std::any_of(found->second.begin(), found->second.end(), [&entry](const IndexEntry& other) {
           return other.last() + 1 == entry.first || entry.last() + 1 == other.first;
         });
}

// What the payload says, when its checksum is good.
std::optional<SegmentHeader> Scan::header_of(int64_t id) {
  auto row = payload_.bind(1, id).step();
  std::optional<SegmentHeader> header;
  if (row && *row) {
    if (auto decoded = codec_.parse(payload_.bytes_at(0))) header = decoded->header;
  }
  payload_.reset();
  return header;
}

}  // namespace

Result<ScannedSegments> scan_segments(Connection& db, const ScanContext& context, const Log& log) {
  return Scan(db, context, log).run();
}

}  // namespace penstock::spool
