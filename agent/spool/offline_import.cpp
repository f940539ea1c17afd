#include "agent/spool/offline_import.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/base/record.h"
#include "agent/base/text.h"
#include "agent/base/varint.h"
#include "agent/spool/directory.h"
#include "agent/spool/repair_places.h"
#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

constexpr int64_t kQuarantine = 0;  // beside the kinds of fates
constexpr int64_t kDiscarded = 2;
constexpr int64_t kDropped = 3;
constexpr int64_t kDelivered = -1;  // those discarded for kDeliveredThere
constexpr size_t kSegmentBytes = size_t{256} << 10;
constexpr size_t kCommitBytes = size_t{1} << 20;
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxRecordBytes = size_t{32} << 20;

Error rejected(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }
Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

int64_t received_at(std::string_view body) {
  std::vector<AttributeView> attributes;
  const auto record = decode_record(body, attributes);
  return record ? record->received_at_us : 0;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

Result<ImportedFrom> origin_of(const ImportOf& of) {
  auto origin = parse_origin(of.origin);
  if (!origin || origin->lane > kMaxLane || of.origin.size() > kMaxNameBytes ||
      has_control(of.origin)) {
    return rejected("\"origin\" is " + shown(of.origin) + "; it is agent_id/epoch/lane");
  }
  if (of.route.empty() || of.route.find('@') != of.route.npos || of.route.size() > kMaxNameBytes ||
      has_control(of.route)) {
    return rejected("\"route\" is " + shown(of.route) + "; it is the name of a route");
  }
  if (of.table.size() > kMaxNameBytes || has_control(of.table))
    return rejected("\"table\" is " + shown(of.table) + "; it is the name of a table");
  return *std::move(origin);
}

}  // namespace

// A lane that takes imported records, and the records waiting to become its next segment.
struct Importer::Home {
  LaneId id = 0;
  LaneKey key;
  uint32_t epoch = 0;
  bool cursor_may_move = false;
  Seq cursor = 0;  // where it may not
  Seq next_seq = 1;
  FateCounts counts;                   // behind that cursor
  SeqRanges known;                     // stored or decided
  std::optional<Seq> lowest;           // the first record to send
  std::map<int64_t, SeqRanges> fates;  // by kind; kDelivered behind the cursor is not counted
  SeqRanges aged;                      // of those dropped
  uint64_t refused = 0;
  uint64_t quarantine_bytes = 0;
  bool changed = false;
  Seq first = 0;
  uint32_t count = 0;
  int64_t newest_us = 0;
  std::string run;

  LaneRow row() const;
};

struct Importer::State {
  std::filesystem::path dir;
  LockFile lock;
  std::optional<OfflineSpool> old;  // as it was before
  OfflineWriter writer;
  std::map<std::pair<LaneKey, std::string>, Home> homes;           // key, origin
  bool untouched = true;                                           // no agent has run on it
  std::map<std::pair<std::string, std::string>, uint32_t> epochs;  // agent_id, name
  uint32_t next_epoch = 1;
  LaneId next_lane = 1;
  size_t buffered = 0;

  uint32_t epoch_of(const ImportedFrom& origin);
  Result<Home*> home_of(const ImportOf& of);
  bool take_over(Home& home) const;
  bool answers_for(const ImportOf& of, const ImportedFrom& origin, SeqRange range) const;
  void close_segment(Home& home);
  Result<void> commit();
  Result<void> commit_if_due();
};

LaneRow Importer::Home::row() const {
  LaneRow out{id, key, cursor, next_seq, counts, 1, refused, quarantine_bytes};
  if (!cursor_may_move) return out;
  out.counts = {};
  out.cursor = lowest ? *lowest - 1 : next_seq - 1;
  for (const auto& [kind, ranges] : fates) {
    SeqRanges behind = ranges;
    const uint64_t number = behind.take_up_to(out.cursor);
    if (kind == kQuarantine) out.counts.quarantined = number;
    if (kind == static_cast<int64_t>(FateKind::kDamaged)) out.counts.damaged = number;
    if (kind == kDiscarded) out.counts.discarded = number;
    if (kind == kDropped) out.counts.dropped = number;
  }
  SeqRanges behind = aged;
  out.counts.dropped_age = behind.take_up_to(out.cursor);
  return out;
}

Importer::Importer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Importer::Importer(Importer&&) noexcept = default;
Importer& Importer::operator=(Importer&&) noexcept = default;
Importer::~Importer() = default;

Result<Importer> Importer::open(const std::filesystem::path& dir, uint64_t input_bytes,
                                const Log& log) {
  if (auto ended = check_repair_ended(dir); !ended) return std::move(ended).error();
  if (auto made = make_directory(dir); !made) return std::move(made).error();
  std::error_code error;
  bool was_empty = true;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error))
    was_empty = was_empty && entry.path().filename() == "LOCK";
  if (!was_empty) {  // before anything is made in a directory of someone else's
    if (auto files = open_generations(dir); !files) return std::move(files).error();
  }
  auto lock = LockFile::take_idle(dir / "LOCK");
  if (!lock) return std::move(lock).error();
  std::optional<OfflineSpool> old;
  uint32_t generation = 1;
  uint64_t bytes = input_bytes;
  if (!was_empty) {
    auto opened = OfflineSpool::open_locked(dir);
    if (!opened) return std::move(opened).error();
    if (!opened->findings().empty()) {
      return denied(dir.string() +
                    " is damaged; see penstock spool fsck, repair it first or import elsewhere");
    }
    generation = newest_in_use(opened->generations());
    for (const auto& file : opened->generations()) bytes += file.file_bytes();
    old = std::move(*opened);
  }
  auto writer = OfflineWriter::open(dir, generation, bytes, log);
  if (!writer) return std::move(writer).error();
  auto state = std::unique_ptr<State>(
      new State{dir, std::move(*lock), std::move(old), std::move(*writer), {}, true, {}, 1, 1, 0});
  if (state->old) {
    for (const auto& [id, epoch] : state->old->epochs()) {
      state->epochs.emplace(std::pair(epoch.agent_id, epoch.name), id);
      state->next_epoch = std::max(state->next_epoch, id + 1);
      state->untouched = state->untouched && epoch.machine_id == kImportedMachine;
    }
    state->next_lane = state->old->lanes().rbegin()->first + 1;
  }
  return Importer(std::move(state));
}

uint32_t Importer::State::epoch_of(const ImportedFrom& origin) {
  const auto [it, is_new] = epochs.try_emplace({origin.agent_id, origin.epoch}, next_epoch);
  if (!is_new) return it->second;
  writer.add_epoch({next_epoch++, origin.epoch, origin.agent_id, std::string(kImportedMachine),
                    read_clock().wall_us});
  return it->second;
}

// The records were numbered by this very spool, and it still has them or knows what became of them.
bool Importer::State::answers_for(const ImportOf& of, const ImportedFrom& origin,
                                  SeqRange range) const {
  const auto epoch = epochs.find({origin.agent_id, origin.epoch});
  if (!old || epoch == epochs.end()) return false;
  const auto row = old->epochs().find(epoch->second);
  const OfflineLane* lane = old->lane(origin.lane);
  if (row == old->epochs().end() || row->second.machine_id == kImportedMachine || lane == nullptr ||
      lane->key != LaneKey{of.route, of.table}) {
    return false;
  }
  if (range.last >= lane->next_seq) return false;
  const auto missing = lane->missing_ranges();
  return std::none_of(lane->fates.begin(), lane->fates.end(),
                      [&](const FoundFate& fate) {
                        return fate.kind == static_cast<int64_t>(FateKind::kDamaged) &&
                               fate.range.first <= range.last && range.first <= fate.range.last;
                      }) &&
         std::none_of(missing.begin(), missing.end(), [&](const SeqRange& gap) {
           return gap.first <= range.last && range.first <= gap.last;
         });
}

Result<Importer::Home*> Importer::State::home_of(const ImportOf& of) {
  auto origin = origin_of(of);
  if (!origin) return std::move(origin).error();
  const LaneKey key{imported_route(of.route, of.origin), of.table};
  const auto known = homes.find({key, of.origin});
  if (known != homes.end()) return &known->second;
  Home home;
  home.key = key;
  home.epoch = epoch_of(*origin);
  if (!take_over(home)) {
    if (next_lane > kMaxLane)
      return denied("this spool has no number left for another lane; import into a new one");
    home.id = next_lane++;
    home.cursor_may_move = true;
  }
  return &homes.emplace(std::pair(key, of.origin), std::move(home)).first->second;
}

// A lane that is there already. As long as no agent has run on the spool nothing of it has gone
// out, and its cursor may still go down to the lowest record imported.
bool Importer::State::take_over(Home& home) const {
  if (!old) return false;
  for (const auto& [id, lane] : old->lanes()) {
    if (lane.key != home.key) continue;
    home.id = id;
    home.cursor_may_move = untouched;
    home.cursor = lane.cursor;
    home.next_seq = lane.next_seq;
    home.counts = lane.behind;
    home.refused = lane.refused;
    home.quarantine_bytes = lane.quarantine_bytes();
    home.known = lane.stored;
    if (!lane.segments.empty()) home.lowest = lane.segments.front().first;
    for (const auto& row : lane.quarantine) {
      home.known.add({row.seq, row.seq});
      home.fates[kQuarantine].add({row.seq, row.seq});
    }
    for (const auto& fate : lane.fates) {
      home.known.add(fate.range);
      const bool is_delivered = fate.kind == kDiscarded && fate.reason == kDeliveredThere;
      home.fates[is_delivered ? kDelivered : fate.kind].add(fate.range);
      if (fate.kind == kDropped && fate.reason == kAgeReason) home.aged.add(fate.range);
    }
    return true;
  }
  return false;
}

void Importer::State::close_segment(Home& home) {
  if (home.count == 0) return;
  writer.add_segment({home.id, home.count, home.first, home.newest_us, home.epoch}, home.run);
  buffered -= home.run.size();
  home.count = 0;
  home.run = {};  // hundreds of lanes may each have had a large one
}

Result<void> Importer::State::commit() {
  for (auto& [key, home] : homes) {
    close_segment(home);
    if (home.changed) writer.set_lane(home.row());
    home.changed = false;
  }
  auto done = writer.commit();
  if (!done && done.error().kind == ErrorKind::kFull) {
    return std::move(done).error().in(
        "no room for more; what was imported so far stays, make room and import the file again");
  }
  return done;
}

Result<void> Importer::State::commit_if_due() {
  if (buffered + writer.waiting_bytes() < kCommitBytes) return {};
  return commit();
}

Result<ImportOutcome> Importer::add(const ImportOf& of, Seq seq, std::string_view body,
                                    const std::optional<ImportQuarantine>& quarantined) {
  if (body.size() > kMaxRecordBytes)
    return rejected(fmt::format("a record of {} bytes is larger than a spool takes", body.size()));
  auto found = state_->home_of(of);
  if (!found) return std::move(found).error();
  Home& home = **found;
  auto origin = parse_origin(of.origin);
  if (home.known.contains(seq)) return ImportOutcome::kKnown;
  if (state_->answers_for(of, *origin, {seq, seq})) return ImportOutcome::kKnown;
  if (!home.cursor_may_move && seq <= home.cursor) return ImportOutcome::kBehind;
  home.known.add({seq, seq});
  home.next_seq = std::max(home.next_seq, seq + 1);
  home.changed = true;
  if (quarantined) {
    home.fates[kQuarantine].add({seq, seq});
    home.quarantine_bytes += body.size() + quarantined->reason.size();
    state_->writer.add_quarantine(
        {home.id, seq, home.epoch, quarantined->at_us, quarantined->reason, std::string(body)});
  } else {
    home.lowest = std::min(home.lowest.value_or(seq), seq);
    if (home.count > 0 && (seq != home.first + home.count || home.run.size() >= kSegmentBytes))
      state_->close_segment(home);
    const size_t before = home.run.size();
    const int64_t received_us = received_at(body);
    home.newest_us = home.count == 0 ? received_us : std::max(home.newest_us, received_us);
    if (home.count++ == 0) home.first = seq;
    append_bytes(body, home.run);
    state_->buffered += home.run.size() - before;
  }
  if (auto done = state_->commit_if_due(); !done) return std::move(done).error();
  return ImportOutcome::kTaken;
}

Result<ImportOutcome> Importer::add_gap(const ImportOf& of, SeqRange range, const std::string& fate,
                                        int64_t at_us, const std::string& reason) {
  FateKind kind = FateKind::kDamaged;
  std::string why = reason;
  const bool is_delivered = fate == "delivered";
  if (is_delivered) {
    kind = static_cast<FateKind>(kDiscarded);
    why = kDeliveredThere;
  } else if (fate == "discarded" || fate == "dropped") {
    kind = static_cast<FateKind>(fate == "discarded" ? kDiscarded : kDropped);
  } else if (fate == "quarantined") {
    why = "quarantined where it came from, and not exported: " + reason;
  } else if (fate == "missing") {
    return ImportOutcome::kKnown;  // it may yet come with another file
  } else if (fate != "damaged") {
    return rejected("\"fate\" is " + shown(fate) +
                    "; it is damaged, delivered, discarded, dropped, quarantined or missing");
  }
  auto found = state_->home_of(of);
  if (!found) return std::move(found).error();
  Home& home = **found;
  if (!home.cursor_may_move && range.last <= home.cursor) return ImportOutcome::kBehind;
  if (!home.cursor_may_move) range.first = std::max(range.first, home.cursor + 1);
  if (state_->answers_for(of, *parse_origin(of.origin), range)) return ImportOutcome::kKnown;
  const auto parts = home.known.missing_in(range);
  for (const auto& part : parts) {
    home.known.add(part);
    home.fates[is_delivered ? kDelivered : static_cast<int64_t>(kind)].add(part);
    if (fate == "dropped" && why == kAgeReason) home.aged.add(part);
    state_->writer.add_fate({home.id, part, kind, at_us, why});
  }
  if (parts.empty()) return ImportOutcome::kKnown;
  home.next_seq = std::max(home.next_seq, range.last + 1);
  home.changed = true;
  if (auto done = state_->commit_if_due(); !done) return std::move(done).error();
  return ImportOutcome::kTaken;
}

Result<void> Importer::finish() {
  auto done = state_->commit();
  state_.reset();
  return done;
}

}  // namespace penstock::spool
