#include "agent/spool/load.h"

#include <algorithm>
#include <map>

#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

struct Fate {
  SeqRange range;
  FateKind kind = FateKind::kDamaged;
};
using Fates = std::map<LaneId, std::vector<Fate>>;

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

Result<Fates> read_fates(Connection& db) {
  Fates fates;
  const std::string sql = "SELECT lane, first_seq, last_seq, kind, reason FROM fate";
  auto done = for_each(db, sql, [&](Statement& row) -> Result<void> {
    const SeqRange range{seq_at(row, 1), seq_at(row, 2)};
    if (!is_seq(range.first) || !is_seq(range.last) || range.empty()) {
      return unfitting("a fate of an impossible range");
    }
    const int64_t kind = row.int_at(3);
    if (kind < 1 || kind > 3) return unfitting("a fate of an unknown kind");
    const bool aged = kind == 3 && row.bytes_at(4) == kAgeReason;
    fates[lane_at(row, 0)].push_back(
        {range, aged ? FateKind::kDroppedAge : static_cast<FateKind>(kind)});
    return {};
  });
  if (!done) return std::move(done).error();
  return fates;
}

Result<void> read_lanes(Connection& db, Ledger& ledger) {
  const std::string sql =
      "SELECT lane, route, table_name, cursor, next_seq, quarantined, damaged, discarded,"
      " dropped, dropped_age, refused, quarantine_bytes FROM lane_state";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    LaneRow lane{lane_at(row, 0),
                 {std::string(row.bytes_at(1)), std::string(row.bytes_at(2))},
                 seq_at(row, 3),
                 seq_at(row, 4),
                 {},
                 static_cast<uint64_t>(row.int_at(10)),
                 static_cast<uint64_t>(row.int_at(11))};
    if (lane.lane > kMaxLane || !is_seq(lane.next_seq) || lane.cursor >= lane.next_seq) {
      return unfitting("impossible state of lane " + std::to_string(lane.lane));
    }
    lane.counts = {seq_at(row, 5), seq_at(row, 6), seq_at(row, 7), seq_at(row, 8), seq_at(row, 9)};
    const auto& counts = lane.counts;
    if (std::max({counts.quarantined, counts.damaged, counts.discarded, counts.dropped}) >
            lane.cursor ||
        counts.sum() > lane.cursor || counts.dropped_age > counts.dropped) {
      return unfitting("more fates than records in lane " + std::to_string(lane.lane));
    }
    ledger.restore(lane);
    return {};
  });
}

Result<void> read_decided(Connection& db, const Fates& fates, Ledger& ledger) {
  for (const auto& [lane, ranges] : fates) {
    if (!ledger.has(lane)) return unfitting("a fate of unknown lane " + std::to_string(lane));
    const Seq cursor = ledger.state(lane).cursor;
    for (const auto& [range, kind] : ranges) {
      if (range.last > cursor)
        ledger.restore_fate(lane, kind, {std::max(range.first, cursor + 1), range.last});
    }
  }
  const std::string sql =
      "SELECT l.lane, q.seq FROM lane_state l JOIN quarantine q ON q.lane=l.lane AND "
      "q.seq>l.cursor ORDER BY 1, 2";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    if (!is_seq(seq_at(row, 1))) return unfitting("impossible number in the quarantine");
    ledger.restore_fate(lane_at(row, 0), FateKind::kQuarantined, {seq_at(row, 1), seq_at(row, 1)});
    return {};
  });
}

bool is_damaged(const Fates& fates, LaneId lane, const IndexEntry& entry) {
  const auto ranges = fates.find(lane);
  return ranges != fates.end() &&
         std::any_of(ranges->second.begin(), ranges->second.end(), [&entry](const Fate& fate) {
           return fate.kind == FateKind::kDamaged && fate.range.first <= entry.last() &&
                  entry.first <= fate.range.last;
         });
}

Result<void> read_segments(Connection& db, const Fates& fates, Loaded& out, const Log& log) {
  auto scanned = scan_segments(db, out.ledger, log);
  if (!scanned) return std::move(scanned).error();
  out.next_segment_id = scanned->next_id;
  for (const auto& [lane, entries] : scanned->lanes) {
    for (const auto& entry : entries) {
      // A damaged segment stays where it is: removing it could stumble over the damage.
      if (!is_damaged(fates, lane, entry)) out.index.add(lane, entry);
      out.ledger.restore_committed(lane, entry.last());
    }
  }
  return {};
}

Result<void> count_quarantine(Connection& db, Ledger& ledger) {
  const std::string sql =
      "SELECT lane, (SELECT coalesce(sum(length(record)+length(CAST(reason AS BLOB))),0) FROM "
      "quarantine q WHERE q.lane=l.lane) FROM lane_state l";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    ledger.set_quarantine_bytes(lane_at(row, 0), static_cast<uint64_t>(row.int_at(1)));
    return {};
  });
}

Result<void> read_marks(Connection& db, Loaded& out) {
  const std::string sql = "SELECT first_seg, boot, offset_us, is_set FROM clock ORDER BY 1";
  return for_each(db, sql, [&](Statement& row) -> Result<void> {
    out.marks.push_back(
        {row.int_at(0), std::string(row.bytes_at(1)), row.int_at(2), row.int_at(3) != 0});
    return {};
  });
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

Result<Loaded> load(Connection& db, int64_t wall_us, const Log& log, uint64_t quarantine_quota) {
  Loaded out;
  auto fates = read_fates(db);
  if (!fates) return std::move(fates).error();
  if (auto done = read_lanes(db, out.ledger); !done) return std::move(done).error();
  if (auto done = read_decided(db, *fates, out.ledger); !done) return std::move(done).error();
  if (auto done = read_segments(db, *fates, out, log); !done) return std::move(done).error();
  if (out.ledger.quarantine_bytes() >= quarantine_quota) {
    if (auto done = count_quarantine(db, out.ledger); !done) return std::move(done).error();
  }
  if (auto done = read_marks(db, out); !done) return std::move(done).error();
  out.ledger.settle_all();
  account_for_gaps(out, wall_us, log);
  return out;
}

}  // namespace penstock::spool
