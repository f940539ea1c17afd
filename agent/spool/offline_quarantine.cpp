#include "agent/spool/offline_quarantine.h"

#include <algorithm>
#include <cctype>

#include <spdlog/fmt/fmt.h>

#include "agent/base/record.h"
#include "agent/base/text.h"
#include "agent/base/varint.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_writer.h"
#include "agent/spool/replayed_record.h"
#include "agent/spool/segment_scan.h"

namespace penstock::spool {
namespace {

constexpr size_t kSegmentBytes = size_t{256} << 10;
constexpr uint64_t kCommitBytes = uint64_t{1} << 20;  // what the log of the file is made for
constexpr int64_t kDiscardedKind = 2;
constexpr int64_t kDroppedKind = 3;
constexpr auto kDiscarded = static_cast<FateKind>(kDiscardedKind);

constexpr char kOlderFile[] =
    "they are in a file that the agent is still emptying: start it until that is delivered, or see "
    "penstock spool repair --into";
constexpr char kDestroyed[] = "their bytes are destroyed";
constexpr char kCut[] = "they were too large, and only their beginning was kept";
constexpr char kNoRecord[] = "they are no whole records";
constexpr char kNoRoute[] = "no route took them: say by which they go, with --route and --table";
constexpr char kAhead[] =
    "records before them still wait, so they can only go back into their lane: say neither --route "
    "nor --table";

constexpr char kGone[] = ": say by which they go, with --route, and to another table with --table";
constexpr char kGoneAhead[] = ", and records before them still wait for it: put it back first";

// What to say of records that go by `route` when no agent has that.
std::optional<std::string> route_gone(const ReplayTarget& target, const std::string& route) {
  if (!target.routes || target.routes->contains(route)) return std::nullopt;
  return "route " + shown(route, 64) + " is not in the configuration any more";
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// What intake and the spool say about a record of which they kept the beginning.
bool is_cut(const std::string& reason) {
  return reason.ends_with("payload bytes are kept") || reason.ends_with("; cut off here");
}

// As the agent would write it when it opens the spool: with the cursor behind what is decided next
// to it.
LaneRow settled_row(const OfflineLane& lane) {
  LaneRow row{lane.id,     lane.key, lane.cursor,  lane.next_seq,
              lane.behind, 1,        lane.refused, lane.quarantine_bytes()};
  while (const auto last = lane.decided.last_of(row.cursor + 1)) row.cursor = *last;
  const SeqRange passed{lane.cursor + 1, row.cursor};
  for (const auto& record : lane.quarantine)
    row.counts.quarantined += record.seq >= passed.first && record.seq <= passed.last;
  for (const auto& fate : lane.fates) {
    const uint64_t number =
        SeqRange{std::max(fate.range.first, passed.first), std::min(fate.range.last, passed.last)}
            .size();
    (fate.kind == kDiscardedKind ? row.counts.discarded
     : fate.kind == kDroppedKind ? row.counts.dropped
                                 : row.counts.damaged) += number;
    if (fate.kind == kDroppedKind && fate.reason == kAgeReason) row.counts.dropped_age += number;
  }
  return row;
}

// A lane that sends records again, and those that come to it now.
struct Again {
  LaneRow row;
  SegmentHeader header;
  std::string run;
};

class Edit {
 public:
  static Result<Edit> open(const std::filesystem::path& dir) {
    auto spool = OfflineSpool::open_locked(dir);
    if (!spool) return std::move(spool).error();
    if (!spool->findings().empty()) {
      return Error{ErrorKind::kDenied,
                   dir.string() + " is damaged; see penstock spool fsck, and repair it first",
                   {}};
    }
    return Edit(*std::move(spool));
  }

  void replay(const QuarantineFilter& filter, const ReplayTarget& target);
  void discard(const QuarantineFilter& filter, int64_t wall_us);
  Result<QuarantineEdit> write(const Log& log);
  // There may be more to do than one transaction should hold. Only what is done counts: what stays
  // would be met again by the next.
  bool is_full() const { return bytes_ >= kCommitBytes; }

 private:
  struct Segment {
    SegmentHeader header;
    std::string run;
  };
  explicit Edit(OfflineSpool spool)
      : spool_(std::move(spool)), active_(newest_in_use(spool_.generations())) {
    next_lane_ = spool_.lanes().rbegin()->first + 1;
  }
  void leave(const std::string& why) { ++out_.left[why]; }
  bool is_active(const StoredQuarantine& record) const {
    return spool_.generations()[record.file].number() == active_;
  }
  void release(const OfflineLane& lane, const StoredQuarantine& record);
  void take(const OfflineLane& lane, const StoredQuarantine& record, const ReplayTarget& target);
  void put_back(const OfflineLane& lane, const StoredQuarantine& record, const std::string& body,
                int64_t received_us);
  void send_again(const OfflineLane& lane, const StoredQuarantine& record, RecordView view,
                  std::vector<AttributeView>& attributes, const LaneKey& key);
  void tell_home(const OfflineLane& lane, const RecordName& name, int64_t at_us,
                 const std::string& fate);
  void tell_discarded(const OfflineLane& lane, const StoredQuarantine& record, int64_t wall_us);
  Again& again(const LaneKey& key);
  void close_segment(Again& lane);
  LaneRow& row_of(const OfflineLane& lane);
  template <class F>
  void each(const QuarantineFilter& filter, F&& f) {
    for (const auto& [id, lane] : spool_.lanes()) {
      for (const auto& record : lane.quarantine) {
        if (!matches(lane, record, filter)) continue;
        if (is_full()) return;
        if (is_active(record)) {
          f(lane, record);
        } else {
          leave(kOlderFile);
        }
      }
    }
  }

  OfflineSpool spool_;
  uint32_t active_;
  LaneId next_lane_;
  std::map<LaneId, LaneRow> rows_;  // of lanes that records left
  std::map<LaneKey, Again> again_;
  std::vector<Segment> segments_;
  std::vector<std::pair<LaneId, Seq>> released_;
  std::vector<FateRow> fates_;
  std::vector<std::pair<LaneId, Seq>> untold_;  // what was said of them before holds no more
  uint64_t bytes_ = 0;
  QuarantineEdit out_;
};

LaneRow& Edit::row_of(const OfflineLane& lane) {
  const auto found = rows_.find(lane.id);
  return found != rows_.end() ? found->second
                              : rows_.emplace(lane.id, settled_row(lane)).first->second;
}

void Edit::release(const OfflineLane& lane, const StoredQuarantine& record) {
  uint64_t& bytes = row_of(lane).quarantine_bytes;
  bytes -= std::min(bytes, record.record_bytes + record.reason.size());
  released_.emplace_back(lane.id, record.seq);
}

Again& Edit::again(const LaneKey& key) {
  const auto [it, is_new] = again_.try_emplace(key);
  if (!is_new) return it->second;
  Again& made = it->second;
  for (const auto& [id, lane] : spool_.lanes()) {
    if (lane.key == key) made.row = row_of(lane);
  }
  if (made.row.lane == kUnroutedLane) made.row = {next_lane_++, key, 0, 1, {}};
  return made;
}

void Edit::close_segment(Again& lane) {
  if (lane.header.count > 0)
    segments_.push_back({std::exchange(lane.header, {}), std::exchange(lane.run, {})});
}

// Its number has no fate yet, so nothing of the account changes but where the record stands.
void Edit::put_back(const OfflineLane& lane, const StoredQuarantine& record,
                    const std::string& body, int64_t received_us) {
  release(lane, record);
  bytes_ += record.record_bytes + record.reason.size();
  ++out_.done;
  if (lane.stored.contains(record.seq)) return;  // a copy was in the quarantine
  Segment segment{{lane.id, 1, record.seq, received_us, record.epoch}, {}};
  append_bytes(body, segment.run);
  segments_.push_back(std::move(segment));
}

void Edit::send_again(const OfflineLane& lane, const StoredQuarantine& record, RecordView view,
                      std::vector<AttributeView>& attributes, const LaneKey& key) {
  std::string origin = spool_.origin(lane, record.epoch);
  RecordName name{origin, record.seq};
  if (replay_of(lane.key)) {
    const auto brought = take_name(view, attributes);
    if (!brought) return leave(kNoRecord);
    name = *brought;
  }
  Again& to = again({replay_route(key.route, lane.id), key.table});
  if (to.run.size() >= kSegmentBytes) close_segment(to);
  if (to.header.count == 0) {
    to.header = {to.row.lane, 0, to.row.next_seq, view.received_at_us,
                 spool_.epochs().rbegin()->first};
  }
  ++to.header.count;
  ++to.row.next_seq;
  to.header.newest_us = std::max(to.header.newest_us, view.received_at_us);
  append_bytes(encode_named(view, name), to.run);

  LaneRow& from = row_of(lane);
  from.counts.quarantined -= std::min<uint64_t>(from.counts.quarantined, 1);
  release(lane, record);
  bytes_ += record.record_bytes + record.reason.size();
  ++out_.done;
  const auto* home = spool_.numbered_under(name.origin);
  if (home == nullptr) return;
  const bool elsewhere = key.table != home->key.table;
  tell_home(lane, name, record.at_us, elsewhere ? std::string(kReplayedTo) + key.table : "");
}

// For those who miss the record in a table: a line beside the account, where its number would be.
// What becomes of it at last counts; empty: its own table gets it after all.
void Edit::tell_home(const OfflineLane& lane, const RecordName& name, int64_t at_us,
                     const std::string& fate) {
  const auto* home = replay_of(lane.key) ? spool_.numbered_under(name.origin) : &lane;
  if (home == nullptr || name.seq > row_of(*home).cursor) return;
  if (&lane != home) untold_.emplace_back(home->id, name.seq);
  if (!fate.empty()) fates_.push_back({home->id, {name.seq, name.seq}, kDiscarded, at_us, fate});
}

void Edit::take(const OfflineLane& lane, const StoredQuarantine& record,
                const ReplayTarget& target) {
  const auto body = spool_.load(record);
  if (!body || body->empty()) return leave(kDestroyed);
  if (is_cut(record.reason)) return leave(kCut);
  std::vector<AttributeView> attributes;
  auto view = decode_record(*body, attributes);
  if (!view) return leave(kNoRecord);
  LaneKey key{configured_route(lane.key), lane.key.table};
  if (lane.id == kUnroutedLane) key = {};
  const LaneKey before = key;
  if (!target.route.empty()) key.route = target.route;
  if (!target.table.empty()) key.table = target.table;
  if (key.route.empty() || key.table.empty()) return leave(kNoRoute);
  const bool is_ahead = record.seq > row_of(lane).cursor;
  const auto gone = route_gone(target, is_ahead ? before.route : key.route);
  if (gone) return leave(*gone + (is_ahead ? kGoneAhead : kGone));
  if (!is_ahead) return send_again(lane, record, *view, attributes, key);
  if (key != before) return leave(kAhead);
  put_back(lane, record, *body, view->received_at_us);
}

void Edit::replay(const QuarantineFilter& filter, const ReplayTarget& target) {
  each(filter, [&](const OfflineLane& lane, const StoredQuarantine& record) {
    take(lane, record, target);
  });
  for (auto& [key, lane] : again_) close_segment(lane);
}

void Edit::discard(const QuarantineFilter& filter, int64_t wall_us) {
  each(filter, [&](const OfflineLane& lane, const StoredQuarantine& record) {
    bytes_ += 2 * record.reason.size() + 200;
    release(lane, record);
    ++out_.done;
    if (record.seq > row_of(lane).cursor) {
      // Its lane's cursor counts it once it passes.
      fates_.push_back({lane.id, {record.seq, record.seq}, kDiscarded, wall_us, record.reason});
      if (replay_of(lane.key)) tell_discarded(lane, record, wall_us);
      return;
    }
    FateCounts& counts = row_of(lane).counts;
    const uint64_t one = std::min<uint64_t>(counts.quarantined, 1);
    counts.quarantined -= one;
    counts.discarded += one;
    if (lane.id != kUnroutedLane) tell_discarded(lane, record, wall_us);
  });
}

void Edit::tell_discarded(const OfflineLane& lane, const StoredQuarantine& record,
                          int64_t wall_us) {
  const RecordName own{{}, record.seq};
  auto loaded = spool_.load(record);
  const std::string body = loaded ? *std::move(loaded) : std::string();
  std::vector<AttributeView> attributes;
  auto view = decode_record(body, attributes);
  const auto brought = view && replay_of(lane.key) ? take_name(*view, attributes) : std::nullopt;
  tell_home(lane, brought.value_or(own), wall_us, record.reason);
}

Result<QuarantineEdit> Edit::write(const Log& log) {
  if (out_.done == 0) return std::move(out_);
  uint64_t bytes = 4 * bytes_;
  for (const auto& file : spool_.generations()) bytes += file.file_bytes();
  auto writer = OfflineWriter::open(spool_.dir(), active_, bytes, log);
  if (!writer) return std::move(writer).error();
  for (const auto& [lane, seq] : released_) writer->release(lane, seq);
  for (const auto& [lane, seq] : untold_) writer->remove_fate(lane, seq);
  for (auto& fate : fates_) writer->add_fate(std::move(fate));
  for (const auto& segment : segments_) writer->add_segment(segment.header, segment.run);
  for (const auto& [key, lane] : again_) {
    const auto changed = rows_.find(lane.row.lane);
    LaneRow row = lane.row;
    if (changed != rows_.end()) {
      row.counts = changed->second.counts;
      row.quarantine_bytes = changed->second.quarantine_bytes;
    }
    rows_[row.lane] = row;
  }
  for (const auto& [id, row] : rows_) writer->set_lane(row);
  if (auto done = writer->commit(); !done) return std::move(done).error();
  return std::move(out_);
}

}  // namespace

bool matches(const OfflineLane& lane, const StoredQuarantine& record,
             const QuarantineFilter& filter) {
  if (filter.lane && *filter.lane != lane.id) return false;
  if (record.seq < filter.seqs.first || record.seq > filter.seqs.last) return false;
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  return std::search(record.reason.begin(), record.reason.end(), filter.reason.begin(),
                     filter.reason.end(), same) != record.reason.end() ||
         filter.reason.empty();
}

namespace {

// Record by record all or nothing, about a megabyte at a time: a longer transaction would leave the
// file's log longer for good.
template <class Collect>
Result<QuarantineEdit> edit_quarantine(const std::filesystem::path& dir, const Log& log,
                                       const Collect& collect) {
  if (auto files = open_generations(dir); !files) return std::move(files).error();
  const auto lock = LockFile::take_idle(dir / "LOCK");
  if (!lock) return lock.error();
  uint64_t before = 0;
  for (;;) {
    auto edit = Edit::open(dir);
    if (!edit) return std::move(edit).error();
    collect(*edit);
    const bool more = edit->is_full();
    auto out = edit->write(log);
    if (!out) {
      Error error = std::move(out).error();
      if (before > 0) error.what += fmt::format(" ({} records were done before that)", before);
      return error;
    }
    out->done += before;
    before = out->done;
    if (!more) return out;
  }
}

}  // namespace

Result<QuarantineEdit> replay_quarantine(const std::filesystem::path& dir,
                                         const QuarantineFilter& filter, const ReplayTarget& target,
                                         const Log& log) {
  return edit_quarantine(dir, log, [&](Edit& edit) { edit.replay(filter, target); });
}

Result<QuarantineEdit> discard_quarantine(const std::filesystem::path& dir,
                                          const QuarantineFilter& filter, int64_t wall_us,
                                          const Log& log) {
  return edit_quarantine(dir, log, [&](Edit& edit) { edit.discard(filter, wall_us); });
}

}  // namespace penstock::spool
