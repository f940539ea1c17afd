#include "agent/spool/load.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

// Rows of `query`, one after the other, until `take` returns an error.
template <class Take>
Result<void> each_row(Statement& query, Take take) {
  for (;;) {
    auto row = query.step();
    if (!row) return std::move(row).error();
    if (!*row) return {};
    if (Result<void> taken = take(query); !taken) return taken;
  }
}

Seq seq_at(const Statement& row, int column) { return static_cast<Seq>(row.int_at(column)); }
bool is_seq(Seq seq) { return seq >= 1 && seq < kMaxSeq; }
// Ids that cannot be are all the same: one above the greatest.
LaneId lane_at(const Statement& row, int column) {
  const int64_t lane = row.int_at(column);
  return lane >= 0 && lane <= int64_t{kMaxLane} ? static_cast<LaneId>(lane) : kMaxLane + 1;
}

Seq first_of(const IndexEntry& entry) { return entry.first; }
Seq first_of(const SegmentIndex::Absent& absent) { return absent.range.first; }

Error unfitting(const std::string& what) {
  return {ErrorKind::kCorrupt, "the spool's tables do not fit: " + what, {}};
}

// As it is stored: both kinds of dropped are 3.
std::optional<FateKind> kind_of(int64_t stored, std::string_view reason) {
  if (stored < stored_kind(FateKind::kDamaged) || stored > stored_kind(FateKind::kDroppedOverflow))
    return std::nullopt;
  if (stored == stored_kind(FateKind::kDroppedAge) && reason == kAgeReason)
    return FateKind::kDroppedAge;
  return static_cast<FateKind>(stored);
}

Result<void> check(const LaneRow& lane) {
  if (lane.lane > kMaxLane || !is_seq(lane.next_seq) || lane.cursor >= lane.next_seq ||
      !is_seq(lane.first_seq)) {
    return unfitting("impossible state of lane " + std::to_string(lane.lane));
  }
  const auto& counts = lane.counts;
  if (std::max({counts.quarantined, counts.damaged, counts.discarded, counts.dropped}) >
          lane.cursor ||
      counts.sum() > lane.cursor || counts.dropped_age > counts.dropped) {
    return unfitting("more fates than records in lane " + std::to_string(lane.lane));
  }
  return {};
}

class Load {
 public:
  Load(int64_t wall_us, const Log& log, uint64_t quarantine_quota, bool uses_index)
      : wall_us_(wall_us),
        log_(log),
        quarantine_quota_(quarantine_quota),
        uses_index_(uses_index) {}
  Result<Loaded> run(const std::vector<LoadSource>& newest_first, std::vector<LaneRow> lanes);

 private:
  struct Source {
    LoadSource from;
    std::map<LaneId, Seq> begins;                // of its lanes, in this generation
    std::optional<std::map<LaneId, Seq>> bound;  // numbers from here on are a newer one's
    bool has(LaneId lane, Seq seq) const;
  };
  Result<void> note(const Source& source, Result<void> done);
  Result<void> find_bounds(const std::vector<LoadSource>& newest_first,
                           std::vector<LaneRow>& lanes);
  Result<void> read_fates(const Source& source);
  Result<void> read_quarantine(const Source& source);
  struct Indexed {  // of one generation
    int64_t covered_id = 0;
    std::map<LaneId, SeqRanges> ranges;
    std::map<LaneId, std::vector<SegmentIndex::Absent>> absents;
    std::map<LaneId, IndexedSums> sums;
  };
  Result<void> read_segments(const Source& source);
  Result<Indexed> read_index(const Source& source);
  Result<void> read_lane_index(const Source& source, IndexReader& rows, IndexRow head,
                               Indexed& indexed);
  void take_indexed(const Source& source, LaneId lane, const SegmentIndex::Absent& absent,
                    std::map<LaneId, SeqRanges>& held_now);
  void take(const Source& source, LaneId lane, const IndexEntry& entry,
            std::map<LaneId, SeqRanges>& held_now);
  void fill_index();
  Result<void> read_all_marks();
  Result<void> read_marks(const Source& source);
  Result<void> count_quarantine(const Source& source);
  Result<void> count_quarantine_anew();
  bool has_gaps() const;
  void account_for_gaps();

  const int64_t wall_us_;
  const Log& log_;
  const uint64_t quarantine_quota_;
  const bool uses_index_;  // else `seg` is read as a whole
  Loaded out_;
  std::vector<Source> sources_;
  std::map<LaneId, SeqRanges> damaged_;  // whole segments; they stay where they are
  std::map<LaneId, SeqRanges> fated_;    // these, and what was dropped as whole segments
  std::map<LaneId, SeqRanges> held_;     // by the generations read so far
  std::map<LaneId, std::vector<IndexEntry>> entries_;
  std::map<LaneId, std::vector<SegmentIndex::Absent>> absents_;
  std::map<LaneId, std::set<Seq>> quarantined_;  // while counting anew
};

bool Load::Source::has(LaneId lane, Seq seq) const {
  if (!bound) return true;
  const auto found = bound->find(lane);
  return found != bound->end() && seq < found->second;
}

// Damage of an older generation costs what it hit, not the start.
Result<void> Load::note(const Source& source, Result<void> done) {
  if (done || source.from.is_active) return done;
  log_.error("spool generation {}: {}; going on with what can be read", source.from.generation,
             done.error().what);
  return {};
}

Result<void> Load::find_bounds(const std::vector<LoadSource>& newest_first,
                               std::vector<LaneRow>& lanes) {
  std::optional<std::map<LaneId, Seq>> bound;
  for (const auto& from : newest_first) {
    Source source{from, {}, bound};
    auto rows = read_lanes(*from.db);
    if (!rows) {
      if (auto fatal = note(source, std::move(rows).error()); !fatal) return fatal;
    } else {
      bound.emplace();
      for (const auto& row : *rows) {
        source.begins[row.lane] = row.first_seq;
        (*bound)[row.lane] = row.first_seq;
      }
      if (from.is_active) lanes = std::move(*rows);
    }
    sources_.push_back(std::move(source));
  }
  return {};
}

Result<Loaded> Load::run(const std::vector<LoadSource>& newest_first, std::vector<LaneRow> lanes) {
  const std::vector<LaneRow> given = lanes;
  if (auto done = find_bounds(newest_first, lanes); !done) return std::move(done).error();
  for (const auto& lane : lanes) {
    if (auto good = check(lane); !good) return std::move(good).error();
    out_.ledger.restore(lane);
  }
  for (const auto& source : sources_) {
    for (auto read : {&Load::read_fates, &Load::read_quarantine}) {
      auto done = note(source, (this->*read)(source));
      if (!done) return std::move(done).error();
    }
  }
  for (const auto& source : sources_) {
    auto done = note(source, read_segments(source));
    if (!done) return std::move(done).error();
  }
  fill_index();
  if (uses_index_ && has_gaps())
    return Load(wall_us_, log_, quarantine_quota_, false).run(newest_first, given);
  if (auto done = read_all_marks(); !done) return std::move(done).error();
  if (auto done = count_quarantine_anew(); !done) return std::move(done).error();
  out_.ledger.settle_all();
  account_for_gaps();
  return std::move(out_);
}

Result<void> Load::read_fates(const Source& source) {
  auto query = source.from.db->prepare("SELECT lane, first_seq, last_seq, kind, reason FROM fate");
  if (!query) return std::move(query).error();
  return each_row(*query, [&](Statement& row) -> Result<void> {
    const LaneId lane = lane_at(row, 0);
    SeqRange range{seq_at(row, 1), seq_at(row, 2)};
    if (!is_seq(range.first) || !is_seq(range.last) || range.empty())
      return unfitting("a fate of an impossible range");
    if (!source.has(lane, range.first)) return {};
    if (!out_.ledger.has(lane)) return unfitting("a fate of unknown lane " + std::to_string(lane));
    const auto kind = kind_of(row.int_at(3), row.bytes_at(4));
    if (!kind) return unfitting("a fate of an unknown kind");
    if (*kind == FateKind::kDamaged) damaged_[lane].add(range);
    // A person discards single records: their segment may hold others.
    if (*kind != FateKind::kDiscarded) fated_[lane].add(range);
    range.first = std::max(range.first, out_.ledger.state(lane).cursor + 1);
    for (const auto& part : out_.ledger.undecided(lane, range))
      out_.ledger.restore_fate(lane, *kind, part);
    return {};
  });
}

Result<void> Load::read_quarantine(const Source& source) {
  auto any = source.from.db->number("SELECT EXISTS(SELECT 1 FROM quarantine)");
  if (!any) return std::move(any).error();
  if (*any == 0) return {};  // as nearly always; with many lanes and files it saves a query each
  auto query = source.from.db->prepare("SELECT seq FROM quarantine WHERE lane=? AND seq>?");
  if (!query) return std::move(query).error();
  for (const auto& lane : out_.ledger.states()) {
    query->bind(1, int64_t{lane.id}).bind(2, lane.cursor);
    auto done = each_row(*query, [&](Statement& row) -> Result<void> {
      const Seq seq = seq_at(row, 0);
      if (!is_seq(seq)) return unfitting("impossible number in the quarantine");
      if (!source.has(lane.id, seq)) return {};
      for (const auto& part : out_.ledger.undecided(lane.id, {seq, seq}))
        out_.ledger.restore_fate(lane.id, FateKind::kQuarantined, part);
      return {};
    });
    query->reset();
    if (!done) return done;
  }
  return {};
}

Result<void> Load::read_segments(const Source& source) {
  auto indexed = uses_index_ ? read_index(source) : Indexed{};
  if (!indexed) {
    log_.warning("spool generation {}: {}; reading all segments instead, which takes a while",
                 source.from.generation, indexed.error().what);
  }
  if (source.from.is_active) out_.index_is_stale = !indexed || !uses_index_;
  if (!indexed) indexed = Indexed{};  // `seg` says the same
  const ScanContext context{
      out_.ledger,         held_,           source.begins,        source.from.generation,
      indexed->covered_id, indexed->ranges, source.from.is_active};
  auto scanned = scan_segments(*source.from.db, context, log_);
  if (!scanned) return std::move(scanned).error();
  if (scanned->has_strangers) out_.with_strangers.insert(source.from.generation);
  out_.next_segment_id = std::max({out_.next_segment_id, scanned->next_id, indexed->covered_id});
  if (source.from.is_active) out_.sums = std::move(indexed->sums);
  std::map<LaneId, SeqRanges> held_now;
  for (const auto& [lane, absents] : indexed->absents) {
    for (const auto& absent : absents) take_indexed(source, lane, absent, held_now);
  }
  for (const auto& [lane, entries] : scanned->lanes) {
    for (const auto& entry : entries) take(source, lane, entry, held_now);
  }
  for (const auto& [lane, ranges] : held_now) {
    for (const auto& range : ranges.all()) held_[lane].add(range);
  }
  return {};
}

Result<Load::Indexed> Load::read_index(const Source& source) {
  Indexed indexed;
  auto rows = IndexReader::open(*source.from.db);
  if (!rows) return std::move(rows).error();
  auto covered = rows->covered_id();
  if (!covered) return std::move(covered).error();
  indexed.covered_id = *covered;
  for (int64_t at = -1;;) {
    auto next = rows->lane_behind(at);
    if (!next) return std::move(next).error();
    if (!*next) return indexed;
    at = (*next)->lane;
    if (at > int64_t{kMaxLane}) continue;
    if (!out_.ledger.has(static_cast<LaneId>(at))) {
      if (source.from.is_active) return unfitting("rows of unknown lane " + std::to_string(at));
      out_.with_strangers.insert(source.from.generation);
      continue;
    }
    if (auto done = read_lane_index(source, *rows, std::move((*next)->row), indexed); !done)
      return std::move(done).error();
  }
}

Result<void> Load::read_lane_index(const Source& source, IndexReader& rows, IndexRow head,
                                   Indexed& indexed) {
  const LaneId lane = head.lane;
  const auto begins = source.begins.find(lane);
  const Seq first = begins != source.begins.end() ? begins->second : 1;
  Seq ends = kMaxSeq;
  if (source.bound) {
    const auto bound = source.bound->find(lane);
    ends = bound != source.bound->end() ? bound->second : 1;
  }
  auto read = rows.lane(std::move(head), source.from.generation, first, ends);
  if (!read) return std::move(read).error();
  for (const auto& absent : read->absents) {
    if (!is_seq(absent.range.first) || absent.range.empty() || absent.range.last >= ends ||
        absent.segments == 0 || absent.segments > absent.range.size()) {
      return unfitting("an impossible index row of lane " + std::to_string(lane));
    }
    indexed.ranges[lane].add(absent.range);
  }
  if (!read->absents.empty()) indexed.absents[lane] = std::move(read->absents);
  indexed.sums[lane] = read->sums;
  return {};
}

// Without what newer generations hold and what is known to be gone; both are whole segments.
void Load::take_indexed(const Source& source, LaneId lane, const SegmentIndex::Absent& absent,
                        std::map<LaneId, SeqRanges>& held_now) {
  out_.ledger.restore_committed(lane, absent.range.last);
  const Seq cursor = out_.ledger.state(lane).cursor;
  for (const auto& held : held_[lane].missing_in(absent.range)) {
    held_now[lane].add(held);
    for (const auto& part : fated_[lane].missing_in(held)) {
      const SeqRange ahead{std::max(part.first, cursor + 1), part.last};
      if (!source.from.is_active && out_.ledger.undecided(lane, ahead).empty()) {
        fated_[lane].add(part);
        continue;
      }
      const double share =
          static_cast<double>(part.size()) / static_cast<double>(absent.range.size());
      const auto of = [share](uint64_t sum) {
        return static_cast<uint64_t>(static_cast<double>(sum) * share);
      };
      absents_[lane].push_back(
          {part, absent.generation, std::max<uint64_t>(1, of(absent.segments)), of(absent.bytes)});
    }
  }
}

void Load::take(const Source& source, LaneId lane, const IndexEntry& entry,
                std::map<LaneId, SeqRanges>& held_now) {
  const SeqRange range{entry.first, entry.last()};
  if (!source.has(lane, entry.last()) || held_[lane].overlaps(range)) return;
  held_now[lane].add(range);
  out_.ledger.restore_committed(lane, entry.last());
  // A damaged segment stays where it is: removing it could stumble over its damage.
  if (damaged_[lane].overlaps(range)) return;
  const Seq from = std::max(entry.first, out_.ledger.state(lane).cursor + 1);
  // Of an older file nothing is removed: what is needed no more is not looked at any more.
  if (!source.from.is_active && out_.ledger.undecided(lane, {from, entry.last()}).empty()) return;
  entries_[lane].push_back(entry);
}

void Load::fill_index() {
  const auto by_first = [](const auto& a, const auto& b) { return first_of(a) < first_of(b); };
  for (const auto& state : out_.ledger.states()) {
    const LaneId lane = state.id;
    for (const auto& range : fated_[lane].all()) out_.index.leave_out(lane, range);
    auto& entries = entries_[lane];
    auto& absents = absents_[lane];
    std::sort(entries.begin(), entries.end(), by_first);
    std::sort(absents.begin(), absents.end(), by_first);
    auto entry = entries.begin();
    for (auto absent = absents.begin(); absent != absents.end() || entry != entries.end();) {
      const bool is_entry =
          absent == absents.end() || (entry != entries.end() && entry->first < absent->range.first);
      const SeqRange range = is_entry ? entry->range() : absent->range;
      if (!(is_entry ? out_.index.add(lane, *entry++) : out_.index.add_absent(lane, *absent++))) {
        log_.error("spool lane {}: segment {}..{} has no place and is left out", lane, range.first,
                   range.last);
      }
    }
  }
}

// A generation begins with the marks of those before it, so the newest has all.
Result<void> Load::read_all_marks() {
  std::set<uint32_t> unread;
  for (const auto& source : sources_) {
    auto read = read_marks(source);
    if (read) break;
    if (auto fatal = note(source, std::move(read)); !fatal) return fatal;
    unread.insert(source.from.generation);
  }
  int64_t first = INT64_MAX;
  for (const auto& [lane, entries] : entries_) {
    for (const auto& entry : entries) {
      if (unread.contains(entry.generation)) first = std::min(first, entry.id);
    }
  }
  for (const auto& [lane, absents] : absents_) {
    for (const auto& absent : absents) {
      if (unread.contains(absent.generation)) first = 1;  // its ids are not known yet
    }
  }
  // What was taken since is not known; so that it does not pass for what is said of earlier ones.
  if (first < INT64_MAX) {
    std::erase_if(out_.marks, [first](const ClockMark& one) { return one.first_segment >= first; });
    out_.marks.push_back({first, "", 0, false});
  }
  return {};
}

Result<void> Load::read_marks(const Source& source) {
  auto query = source.from.db->prepare(
      "SELECT first_seg, boot, offset_us, is_set FROM clock ORDER BY first_seg");
  if (!query) return std::move(query).error();
  std::vector<ClockMark> marks;
  auto done = each_row(*query, [&](Statement& row) -> Result<void> {
    marks.push_back(
        {row.int_at(0), std::string(row.bytes_at(1)), row.int_at(2), row.int_at(3) != 0});
    return {};
  });
  if (!done) return done;
  out_.marks = std::move(marks);
  return {};
}

Result<void> Load::count_quarantine_anew() {
  if (out_.ledger.quarantine_bytes() < quarantine_quota_) return {};
  for (const auto& lane : out_.ledger.states()) out_.ledger.set_quarantine_bytes(lane.id, 0);
  for (const auto& source : sources_) {
    if (auto done = note(source, count_quarantine(source)); !done) return done;
  }
  return {};
}

Result<void> Load::count_quarantine(const Source& source) {
  auto query = source.from.db->prepare(
      "SELECT lane, seq, length(record)+length(CAST(reason AS BLOB)) FROM quarantine");
  if (!query) return std::move(query).error();
  return each_row(*query, [&](Statement& row) -> Result<void> {
    const LaneId lane = lane_at(row, 0);
    const Seq seq = seq_at(row, 1);
    // One that was carried over is in two files.
    if (!source.has(lane, seq) || !out_.ledger.has(lane) || !quarantined_[lane].insert(seq).second)
      return {};
    out_.ledger.set_quarantine_bytes(
        lane, out_.ledger.quarantine_bytes(lane) + static_cast<uint64_t>(row.int_at(2)));
    return {};
  });
}

// Rows of the index that are lost at the end or the beginning of a lane look like lost segments.
bool Load::has_gaps() const {
  for (const auto& lane : out_.ledger.states()) {
    for (const auto& gap : out_.index.gaps(lane.id, {lane.cursor + 1, lane.next_seq - 1})) {
      if (out_.ledger.undecided(lane.id, gap).empty()) continue;
      log_.warning(
          "spool lane {}: records {}..{} are not in the index; reading all segments, which takes a "
          "while",
          lane.id, gap.first, gap.last);
      return true;
    }
  }
  return false;
}

// Every committed record ahead of the cursor is in a segment or decided. What is neither was lost
// with its row.
void Load::account_for_gaps() {
  for (const auto& lane : out_.ledger.states()) {
    if (out_.index.has_ended(lane.id, lane.cursor, 0)) out_.ledger.mark_dirty(lane.id);
    for (const auto& gap : out_.index.gaps(lane.id, {lane.cursor + 1, lane.next_seq - 1})) {
      for (const auto& part : out_.ledger.damage(lane.id, gap, wall_us_,
                                                 "segment missing when the spool was opened")) {
        log_.error(
            "spool lane {} (route '{}', table '{}'): records {}..{} are missing; counted as "
            "damaged",
            lane.id, lane.key.route, lane.key.table, part.first, part.last);
      }
    }
  }
}

}  // namespace

Result<std::vector<LaneRow>> read_lanes(Connection& db) {
  auto query = db.prepare(
      "SELECT lane, route, table_name, cursor, next_seq, quarantined, damaged, discarded, dropped, "
      "dropped_age, first_seq, refused, quarantine_bytes FROM lane_state");
  if (!query) return std::move(query).error();
  std::vector<LaneRow> lanes;
  auto done = each_row(*query, [&](Statement& row) -> Result<void> {
    LaneRow lane{lane_at(row, 0),
                 {std::string(row.bytes_at(1)), std::string(row.bytes_at(2))},
                 seq_at(row, 3),
                 seq_at(row, 4),
                 {seq_at(row, 5), seq_at(row, 6), seq_at(row, 7), seq_at(row, 8), seq_at(row, 9)},
                 seq_at(row, 10),
                 seq_at(row, 11),
                 seq_at(row, 12)};
    if (auto good = check(lane); !good) return good;
    lanes.push_back(std::move(lane));
    return {};
  });
  if (!done) return std::move(done).error();
  return lanes;
}

Result<Loaded> load(const std::vector<LoadSource>& newest_first, std::vector<LaneRow> lanes,
                    int64_t wall_us, const Log& log, uint64_t quarantine_quota) {
  return Load(wall_us, log, quarantine_quota, true).run(newest_first, std::move(lanes));
}

}  // namespace penstock::spool
