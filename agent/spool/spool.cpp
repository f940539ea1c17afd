#include "agent/spool/spool.h"

#include <unordered_map>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/spool/directory.h"
#include "agent/spool/repair_places.h"
#include "agent/spool/spool_impl.h"
#include "agent/spool/volatile_fs.h"

namespace penstock::spool {
namespace {

constexpr Millis kTurnedAwayDelay{9000};  // counts alone are written that much later
constexpr size_t kRefusedHeadBytes = size_t{64} << 10;

Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

Result<void> check_place(const Options& options, const Log& log) {
  if (auto ended = check_repair_ended(options.dir); !ended) return ended;
  if (auto made = make_directory(options.dir); !made) return made;
  if (options.max_size_bytes < kMinSpoolBytes) {
    return denied(fmt::format("spool.max_size is {} bytes; it must be at least {}",
                              options.max_size_bytes, kMinSpoolBytes));
  }
  auto kind = volatile_filesystem_of(options.dir);
  if (!kind) return std::move(kind).error();
  if (!*kind) return {};
  if (!options.allow_volatile) {
    return denied(fmt::format(
        "spool directory {} is on {}, which does not keep what was synced over a power cut; set "
        "spool.dir to a local disk, or spool.allow_volatile: true to accept losing records",
        options.dir.string(), **kind));
  }
  log.warning("spool directory {} is on {}: records there may be lost (allow_volatile)",
              options.dir.string(), **kind);
  return {};
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(const Options& options, Log log) {
  if (auto good = check_place(options, log); !good) return std::move(good).error();
  auto lock = LockFile::take(options.dir / "LOCK");
  if (!lock) return std::move(lock).error();
  const int64_t wall_us = read_clock().wall_us;
  Surroundings now{options.agent_id, read_machine_id(options.machine_id_file),
                   filesystem_id(options.dir)};
  auto found = recover(options, now, wall_us, log);
  if (!found) return std::move(found).error();
  log.info("spool {}: generation {}, epoch {}, {} older, {} lanes, {} segments, {} bytes live",
           options.dir.string(), found->active->number, found->epochs.back().name,
           found->older.size(), found->loaded.ledger.states().size() - 1,
           found->loaded.index.size(), found->active->store.live_bytes());
  return std::unique_ptr<Spool>(std::make_unique<SpoolImpl>(
      options, std::move(log), std::move(*lock), std::move(now), std::move(*found)));
}

SpoolImpl::SpoolImpl(const Options& options, Log log, LockFile lock, Surroundings where,
                     Recovered found)
    : options_(options),
      sizing_(sizing_for(options.max_size_bytes)),
      log_(std::move(log)),
      lock_file_(std::move(lock)),
      where_(std::move(where)),
      active_(std::move(found.active)),
      older_(std::move(found.older)),
      parked_(std::move(found.parked)),
      kept_(std::move(found.kept)),
      spare_(found.spare),
      newest_number_(found.newest),
      index_sums_(std::move(found.loaded.sums)),
      forgets_index_(found.loaded.index_is_stale),
      lanes_file_(std::move(found.lanes_file)),
      policy_(options.commit_bytes),
      next_segment_id_(found.loaded.next_segment_id),
      queue_(options.queue_bytes),
      ledger_(std::move(found.loaded.ledger)),
      index_(std::move(found.loaded.index)),
      tail_(options.tail_bytes),
      quarantine_quota_(options.quarantine_quota()),
      ages_(std::move(found.loaded.marks)) {
  for (const auto& epoch : found.epochs) add_epoch(epoch);
  index_.limit(options.index_entries);
  counters_.older_files = older_.size();
  counters_.parked_files = parked_.size();
  counters_.kept_files = kept_.size();
  counters_.live_bytes = active_->store.live_bytes();
  counters_.quarantine_bytes = ledger_.quarantine_bytes();
  for (const auto& state : ledger_.states()) guard(state.id);
  refresh_state();
  refresh_shares();
  note_unwritten();
}

SpoolImpl::~SpoolImpl() { stop(); }

void SpoolImpl::start(Listener& listener) {
  const Lock lock(mutex_);
  if (running_ || stopping_) return;
  listener_ = &listener;
  running_ = true;
  thread_ = std::thread([this] { run(); });
}

LaneId SpoolImpl::lane(const LaneKey& key) {
  const Lock lock(mutex_);
  const LaneId lane = ledger_.lane(key);
  guard(lane);
  return lane;
}

std::vector<LaneState> SpoolImpl::lanes() const {
  const Lock lock(mutex_);
  auto states = ledger_.states();
  for (auto& state : states) state = with_guard(std::move(state));
  return states;
}

LaneState SpoolImpl::state(LaneId lane) const {
  const Lock lock(mutex_);
  return with_guard(ledger_.state(lane));
}

// Does every record carry the next number of its lane?
bool SpoolImpl::in_order(const std::vector<Pending>& records) const {
  std::unordered_map<LaneId, Seq> last;
  for (const auto& record : records) {
    const auto [it, is_first] = last.try_emplace(record.lane, record.seq);
    if (is_first ? !ledger_.expects(record.lane, record.seq) : record.seq != it->second + 1) {
      log_.error(
          "spool: record {} of lane {} is out of order: a fault in the caller, its records are "
          "refused",
          record.seq, record.lane);
      return false;
    }
    it->second = record.seq;
  }
  return true;
}

// A record the whole spool could never hold would block every lane behind it.
void SpoolImpl::limit_sizes(std::vector<Pending>& records) const {
  for (auto& record : records) {
    if (record.body.size() <= sizing_.max_record_bytes()) continue;
    if (record.refusal.empty()) {
      record.refusal =
          fmt::format("record of {} bytes is larger than this spool takes ({}); cut off here",
                      record.body.size(), sizing_.max_record_bytes());
    }
    record.body.resize(kRefusedHeadBytes);
    record.body.shrink_to_fit();
  }
}

Enqueue SpoolImpl::enqueue(std::vector<Pending>&& records) {
  const Lock lock(mutex_);
  if (stopping_ || !in_order(records)) return Enqueue::kClosed;
  if (records.empty()) return Enqueue::kTaken;
  limit_sizes(records);
  std::vector<std::pair<LaneId, Seq>> taken;
  size_t size = 0;
  for (const auto& record : records) {
    taken.emplace_back(record.lane, record.seq);
    size += CommitQueue::cost(record);
  }
  const auto deadline = queue_.deadline();
  const bool was_large = queue_.record_bytes() >= options_.commit_bytes;
  if (!queue_.push(std::move(records), read_clock().mono)) {
    room_promised_ = true;
    refused_bytes_ = std::max(refused_bytes_, size);
    return Enqueue::kFull;
  }
  for (const auto& [lane, seq] : taken) ledger_.accept(lane, seq);
  const bool is_large = queue_.record_bytes() >= options_.commit_bytes;
  if (!deadline || *queue_.deadline() < *deadline || (is_large && !was_large)) wake_.notify_one();
  return Enqueue::kTaken;
}

size_t SpoolImpl::room() const {
  const Lock lock(mutex_);
  return queue_.room();
}

void SpoolImpl::flush_hint() {
  const Lock lock(mutex_);
  if (queue_.empty() || hinted_) return;
  hinted_ = true;
  wake_.notify_one();
}

void SpoolImpl::acknowledge(LaneId lane, Seq up_to) {
  const Lock lock(mutex_);
  if (!ledger_.acknowledge(lane, up_to)) return;
  tail_.release(lane, ledger_.state(lane).cursor);
  note_unwritten();
}

void SpoolImpl::quarantine(LaneId lane, Seq seq, std::string reason) {
  const int64_t wall_us = read_clock().wall_us;
  const Lock lock(mutex_);
  const IndexEntry* entry = index_.find(lane, seq);
  SegmentPtr segment = entry != nullptr ? tail_.find(lane, entry->first) : nullptr;
  if (ledger_.quarantine({lane, seq, wall_us, std::move(reason), std::move(segment)}))
    note_unwritten();
}

SeqRange SpoolImpl::segment_range(LaneId lane, Seq from) const {
  const Lock lock(mutex_);
  const IndexEntry* entry = index_.find(lane, from);
  return entry != nullptr ? SeqRange{entry->first, entry->last()} : SeqRange{};
}

void SpoolImpl::damaged(LaneId lane, Seq first, Seq last, std::string reason) {
  const int64_t wall_us = read_clock().wall_us;
  const Lock lock(mutex_);
  SeqRange range{std::max(first, ledger_.state(lane).cursor + 1), last};
  const auto entries = index_.overlapping(lane, range);
  if (!entries.empty()) {
    range.first = std::min(range.first, entries.front().first);
    range.last = std::max(range.last, entries.back().last());
  }
  const auto parts = ledger_.damage(lane, range, wall_us, reason);
  if (parts.empty()) return;
  for (const auto& entry : entries) index_.remove(lane, entry.first);
  for (const auto& part : parts) {
    log_.error("spool lane {}: records {}..{} are damaged: {}", lane, part.first, part.last,
               reason);
  }
  note_unwritten();
}

// There is something to write that is no record: the thread has a second for it.
void SpoolImpl::note_unwritten() {
  const MonoTime now = read_clock().mono;
  if (!ledger_.has_unwritten()) {
    if (!acks_since_ && !ledger_.turned_away().empty()) acks_since_ = now + kTurnedAwayDelay;
    return;
  }
  if (acks_since_ && *acks_since_ <= now) return;
  acks_since_ = now;
  wake_.notify_one();
}

Counters SpoolImpl::counters() const {
  const Lock lock(mutex_);
  Counters counters = counters_;
  counters.queued_bytes = queue_.bytes();
  counters.index_entries = index_.entries();
  return counters;
}

}  // namespace penstock::spool
