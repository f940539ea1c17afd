#include "agent/spool/load.h"

#include <algorithm>
#include <map>

#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

using Damage = std::map<LaneId, std::vector<SeqRange>>;

// Rows of `sql`, one after the other, until `take` returns an error.
template <class Take>
Result<void> for_each(Connection& db, const std::string& sql, Take take) {
  auto query = db.prepare(sql);
  if (!query) return std::move(query).error();
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return {};
    if (Result<void> taken = take(*query); !taken) return taken;
  }
}

Seq seq_at(const Statement& row, int column) { return static_cast<Seq>(row.int_at(column)); }
bool is_seq(Seq seq) { return seq >= 1 && seq < kMaxSeq; }
// Ids that cannot be are all the same: one above the greatest.
LaneId lane_at(const Statement& row, int column) {
  const int64_t lane = row.int_at(column);
  return lane >= 0 && lane <= int64_t{kMaxLane} ? static_cast<LaneId>(lane) : kMaxLane + 1;
}

Error unfitting(const std::string& what) {
  return {ErrorKind::kCorrupt, "the spool's tables do not fit: " + what, {}};
}

Result<Damage> read_damage(Connection& db) {
  Damage damage;
  const std::string sql = "SELECT lane, first_seq, last_seq FROM fate WHERE kind=1";
  auto done = for_each(db, sql, [&](Statement& row) -> Result<void> {
    const SeqRange range{seq_at(row, 1), seq_at(row, 2)};
    if (!is_seq(range.first) || !is_seq(range.last) || range.empty()) {
      return unfitting("a fate of an impossible range");
    }
    damage[lane_at(row, 0)].push_back(range);
    return {};
  });
  if (!done) return std::move(done).error();
  return damage;
}

Result<void> read_lanes(Connection& db, Ledger& ledger) {
  const std::string sql =
      "SELECT lane, route, table_name, cursor, next_seq, quarantined, damaged, discarded, dropped "
      "FROM lane_state";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    LaneRow lane{lane_at(row, 0),
                 {std::string(row.bytes_at(1)), std::string(row.bytes_at(2))},
                 seq_at(row, 3),
                 seq_at(row, 4),
                 {seq_at(row, 5), seq_at(row, 6), seq_at(row, 7), seq_at(row, 8)}};
    if (lane.lane > kMaxLane || !is_seq(lane.next_seq) || lane.cursor >= lane.next_seq) {
      return unfitting("impossible state of lane " + std::to_string(lane.lane));
    }
    const auto& counts = lane.counts;
    if (std::max({counts.quarantined, counts.damaged, counts.discarded, counts.dropped}) >
            lane.cursor ||
        counts.sum() > lane.cursor) {
      return unfitting("more fates than records in lane " + std::to_string(lane.lane));
    }
    ledger.restore(lane);
    return {};
  });
}

Result<void> read_decided(Connection& db, const Damage& damage, Ledger& ledger) {
  for (const auto& [lane, ranges] : damage) {
    if (!ledger.has(lane)) return unfitting("a fate of unknown lane " + std::to_string(lane));
    const Seq cursor = ledger.state(lane).cursor;
    for (const auto& range : ranges) {
      if (range.last > cursor)
        ledger.restore_damaged(lane, {std::max(range.first, cursor + 1), range.last});
    }
  }
  const std::string sql =
      "SELECT l.lane, q.seq FROM lane_state l JOIN quarantine q ON q.lane=l.lane AND "
      "q.seq>l.cursor ORDER BY 1, 2";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    if (!is_seq(seq_at(row, 1))) return unfitting("impossible number in the quarantine");
    ledger.restore_quarantined(lane_at(row, 0), {seq_at(row, 1), seq_at(row, 1)});
    return {};
  });
}

bool is_damaged(const Damage& damage, LaneId lane, const IndexEntry& entry) {
  const auto ranges = damage.find(lane);
  return ranges != damage.end() &&
         std::any_of(ranges->second.begin(), ranges->second.end(), [&entry](const SeqRange& range) {
           return range.first <= entry.last() && entry.first <= range.last;
         });
}

Result<void> read_segments(Connection& db, const Damage& damage, Loaded& out, const Log& log) {
  auto scanned = scan_segments(db, out.ledger, log);
  if (!scanned) return std::move(scanned).error();
  out.next_segment_id = scanned->next_id;
  for (const auto& [lane, entries] : scanned->lanes) {
    for (const auto& entry : entries) {
      // A damaged segment stays where it is: removing it could stumble over the damage.
      if (!is_damaged(damage, lane, entry)) out.index.add(lane, entry);
      out.ledger.restore_committed(lane, entry.last());
    }
  }
  return {};
}

// Every committed record ahead of the cursor is in a segment or decided. What is neither was lost
// with its row.
void account_for_gaps(Loaded& out, int64_t wall_us, const Log& log) {
  for (const auto& lane : out.ledger.states()) {
    if (!out.index.ended_by(lane.id, lane.cursor, 1, 0).empty()) out.ledger.mark_dirty(lane.id);
    for (const auto& gap : out.index.gaps(lane.id, {lane.cursor + 1, lane.next_seq - 1})) {
      for (const auto& part :
           out.ledger.damage(lane.id, gap, wall_us, "segment missing when the spool was opened")) {
        log.error(
            "spool lane {} (route '{}', table '{}'): records {}..{} are missing; counted as "
            "damaged",
            lane.id, lane.key.route, lane.key.table, part.first, part.last);
      }
    }
  }
}

}  // namespace

Result<Loaded> load(Connection& db, int64_t wall_us, const Log& log) {
  Loaded out;
  auto damage = read_damage(db);
  if (!damage) return std::move(damage).error();
  if (auto done = read_lanes(db, out.ledger); !done) return std::move(done).error();
  if (auto done = read_decided(db, *damage, out.ledger); !done) return std::move(done).error();
  if (auto done = read_segments(db, *damage, out, log); !done) return std::move(done).error();
  out.ledger.settle_all();
  account_for_gaps(out, wall_us, log);
  return out;
}

}  // namespace penstock::spool
