#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"
#include "agent/spool/volatile_fs.h"

namespace penstock::spool {
namespace {

constexpr Millis kFullRetry{
    1000};  // the disk may have room again without anything of ours having gone
constexpr Millis kIndexRetry{60'000};    // rows of the index that found no room
constexpr size_t kTrimsPerCommit = 512;  // bounds the time of one transaction
constexpr uint64_t kTrimBytesPerCommit = uint64_t{4} << 20;
// Cursors and removals cost about as many pages as a small commit of records: they ride on one a
// second, before they would be written alone.
constexpr Millis kAckRide = kAckDelay - Millis(100);

// Another full commit waits behind this one: it is packing that holds the records up.
Packing packing_for(size_t waiting_bytes) {
  return waiting_bytes >= 2 * kCommitCapBytes ? Packing::kFast : Packing::kSmall;
}

}  // namespace

void SpoolImpl::commit(Lock& lock, bool with_records) {
  const bool done = with_records && commit_records(lock);
  const bool wanted = ledger_.has_unwritten() || !ledger_.turned_away().empty() || wants_drops_;
  if (!done && !fault_ && wanted) commit_acks(lock);
  // A roll wrote the rest, or what was to be dropped found room: nothing is due any more.
  if (!done && !wanted) {
    acks_since_.reset();
    if (queue_.empty()) leave_full();
  }
  fetched_.clear();
  if (!fault_) after_commit(lock);
}

// True when the records, and the acknowledgements with them, are on disk.
bool SpoolImpl::commit_records(Lock& lock) {
  hinted_ = false;
  const auto records = queue_.prefix(kCommitCapBytes);
  const Packing packing = packing_for(queue_.record_bytes());
  lock.unlock();
  Batch batch = make_batch(records);
  auto rows = encode(batch, packing);
  lock.lock();
  const bool with_pending = acks_ride();
  fetch_index(lock, with_pending);
  Plan attempt = plan(&batch, with_pending);
  attempt.transaction.segments = std::move(rows);
  auto written = write(lock, attempt, &batch);
  if (!written) {
    if (!may_try_again(written.error())) {
      enter_fault(lock, std::move(written).error());
      return false;
    }
    if (!attempt.stretches.empty()) {  // rows are not to stand in the way of records
      index_not_before_ = attempt.at + kIndexRetry;
      retry_at_ = attempt.at;
      return false;
    }
    disk_refused_ = attempt.fitted;
    fetch_droppable(lock);
    const bool low = state_of(disk_fill(), state_) == SpoolState::kDiskLow && !attempt.fitted;
    if (low || !drop_for_commit(batch.bytes)) {
      enter_full(written.error());
    } else {
      retry_at_ = attempt.at;
    }
    return false;
  }
  disk_refused_ = false;
  next_segment_id_ += static_cast<int64_t>(attempt.transaction.segments.size());
  note_written(attempt);
  auto popped = note_committed(attempt, batch);
  announce(lock, batch, std::move(popped));
  checkpoint(lock);
  return true;
}

void SpoolImpl::commit_acks(Lock& lock) {
  fetch_index(lock, true);
  Plan attempt = plan(nullptr, true);
  if (attempt.transaction.empty() && attempt.quarantine.empty()) {
    // What there is waits for room in the quarantine, or for records to come back from their way.
    note_doomed(attempt);
    acks_since_.reset();
    if (ledger_.has_unwritten() && !stopping_) acks_since_ = attempt.at;
    acks_not_before_ = attempt.at + kFullRetry;
    if (queue_.empty()) leave_full();
    return;
  }
  auto written = write(lock, attempt, nullptr);
  const bool is_whole = written.has_value();
  if (!written && written.error().kind == ErrorKind::kFull) {
    enter_full(written.error());
    // Not even the reserve takes the copies: cursors and removals before them still can be written.
    attempt = plan(nullptr, false);
    written = write(lock, attempt, nullptr);
    acks_not_before_ = attempt.at + kFullRetry;
  }
  if (written) {
    note_written(attempt);
    // Records that wait find out by themselves. Where none do, none may ever: they are refused.
    if (is_whole && queue_.empty()) leave_full();
    if (!attempt.trims.empty()) retry_at_ = attempt.at;
    // While full they do not wait a second, but neither is each one a sync of its own.
    if (attempt.unfinished.empty() || index_unread_)
      acks_not_before_ =
          std::max(acks_not_before_,
                   attempt.at + (index_unread_ ? kFullRetry : Millis(kEarlyCommitSpacing)));
    checkpoint(lock);
  } else if (may_try_again(written.error())) {
    acks_not_before_ = attempt.at + kFullRetry;
    enter_full(written.error());
  } else {
    enter_fault(lock, std::move(written).error());
  }
}

bool SpoolImpl::acks_ride() const {
  return full_ || pressed() || flushing() || stopping_ ||
         (acks_since_ && read_clock().mono - *acks_since_ >= kAckRide);
}

SpoolImpl::Plan SpoolImpl::plan(const Batch* batch, bool with_pending) {
  Plan plan;
  plan.at = read_clock().mono;
  plan.acks = batch == nullptr || with_pending;
  if (with_pending) drop_overflow();
  std::set<LaneId> lanes = plan.acks ? ledger_.dirty() : std::set<LaneId>();
  if (plan.acks) lanes.insert(ledger_.turned_away().begin(), ledger_.turned_away().end());
  std::map<LaneId, Seq> committed;
  if (batch != nullptr) {
    committed.insert(batch->committed.begin(), batch->committed.end());
    for (const auto& [lane, last] : batch->committed) {
      if (!ledger_.is_persisted(lane)) lanes.insert(lane);
    }
    // Their rows may be removed by a person one day: the number they used must outlive them.
    for (const Pending* record : batch->refused) lanes.insert(record->lane);
    if (const auto mark = clock_mark()) plan.transaction.marks.push_back(*mark);
    plan_index(plan);
    // Their next numbers go with them: rows that are lost then leave a gap that a start sees.
    for (const auto& row : plan.transaction.index_rows) lanes.insert(row.lane);
  }
  if (with_pending) plan_doomed(plan);
  const bool quarantines = with_pending && !quarantine_full() && can_copy_pending();
  // Evenly, so that the oldest pages, which hold segments of all lanes, become empty as a whole.
  const size_t shares = std::max<size_t>(1, lanes.size());
  for (const LaneId lane : lanes) {
    size_t trims_left = std::max<size_t>(1, kTrimsPerCommit / shares);
    uint64_t bytes_left =
        (kTrimBytesPerCommit - std::min(kTrimBytesPerCommit, plan.freed_bytes)) / shares;
    LaneRow row = ledger_.row(lane, with_pending, quarantines);
    plan_trims(plan, row, trims_left, bytes_left);
    if (const auto it = committed.find(lane); it != committed.end()) row.next_seq = it->second + 1;
    if (quarantines || !with_pending || !ledger_.waits_for_quarantine(lane) ||
        !ledger_.is_written(row)) {
      plan.transaction.lanes.push_back(std::move(row));
    }
  }
  if (!with_pending) return plan;
  if (quarantines) plan.quarantine = ledger_.pending_quarantine();
  plan.transaction.fates = ledger_.plan_fates();
  plan.fates = plan.transaction.fates.size();
  return plan;
}

void SpoolImpl::plan_trims(Plan& plan, const LaneRow& row, size_t& left, uint64_t& bytes_left) {
  const auto ended = left > 0 ? index_.ended_by(row.lane, row.cursor, left, bytes_left)
                              : std::vector<IndexEntry>();
  Seq removed_to = 0;
  for (const auto& entry : ended) {
    plan.trims.emplace_back(row.lane, entry.first);
    if (entry.generation == active_->number) {  // older files are not written any more
      plan.transaction.deletes.push_back(entry.id);
      plan.freed_bytes += entry.bytes;
      removed_to = entry.last();
    }
    bytes_left -= std::min<uint64_t>(bytes_left, entry.bytes);
  }
  left = bytes_left == 0 ? 0 : left - ended.size();
  if (removed_to > 0) plan.transaction.index_ended.emplace_back(row.lane, removed_to);
  if (index_.has_ended(row.lane, row.cursor, ended.size())) plan.unfinished.insert(row.lane);
}

Result<void> SpoolImpl::write(Lock& lock, Plan& plan, const Batch* batch) {
  lock.unlock();
  for (const auto& record : plan.quarantine)
    plan.transaction.quarantine.push_back(quarantine_row(record));
  Result<void> written;
  if (batch != nullptr) {
    const int64_t wall_us = read_clock().wall_us;
    for (const Pending* record : batch->refused) {
      plan.transaction.quarantine.push_back(
          {record->lane, record->seq, epochs_.back().id, wall_us, record->refusal, record->body});
    }
    written = room_for(plan);
  }
  count_quarantine(plan.transaction);
  if (written) written = active_->store.apply(plan.transaction);
  lock.lock();
  return written;
}

std::vector<SegmentRow> SpoolImpl::encode(const Batch& batch, Packing packing) {
  std::vector<SegmentRow> rows;
  rows.reserve(batch.runs.size());
  for (const auto& run : batch.runs) {
    const SegmentHeader header{run.lane, run.count, run.first, run.newest_us, epochs_.back().id};
    const auto id = next_segment_id_ + static_cast<int64_t>(rows.size());
    rows.push_back({id, header, codec_.build(header, run.bytes, packing)});
  }
  return rows;
}

QuarantineRow SpoolImpl::quarantine_row(const PendingQuarantine& record) const {
  QuarantineRow row{record.lane, record.seq, epochs_.back().id, record.at_us, record.reason, {}};
  if (record.segment) {
    row.record = record_at(*record.segment, record.seq).value_or("");
    return row;
  }
  const Fetched& fetched = fetched_.at({record.lane, record.seq});
  row.epoch = fetched.epoch;
  row.record = fetched.body;
  if (row.record.empty()) row.reason += " (the record itself could not be read back)";
  return row;
}

// Said once, with the next segments: when they are taken.
std::optional<ClockMark> SpoolImpl::clock_mark() {
  if (auto mark = ages_.observe(next_segment_id_, options_.clock())) unwritten_mark_ = mark;
  return unwritten_mark_;
}

// What the filesystem says, without what is in the database.
Fill SpoolImpl::disk_fill() const {
  Fill fill;
  fill.free_bytes = free_bytes_;
  fill.min_free_bytes = options_.min_free_bytes;
  return fill;
}

Result<void> SpoolImpl::room_for(Plan& plan) {
  if (!active_->store.fits(plan.transaction, plan.freed_bytes)) {
    return Error{ErrorKind::kFull,
                 fmt::format("the spool is at its max_size of {} bytes", options_.max_size_bytes),
                 {}};
  }
  free_bytes_ = free_beside(plan.transaction);
  plan.fitted = !is_low(free_bytes_);
  if (plan.fitted) return {};
  return Error{ErrorKind::kFull,
               fmt::format("the filesystem of {} has less than min_free ({} bytes) free",
                           options_.dir.string(), options_.min_free_bytes),
               {}};
}

// What the filesystem has beside what the database file then grows by; none: nobody wants to know.
// Asked at each commit: a second is time for a fast source to take it all. Where a chunk would take
// what is to be left to others, the file grows in small ones.
std::optional<uint64_t> SpoolImpl::free_beside(const Transaction& transaction) {
  if (options_.min_free_bytes == 0) return std::nullopt;
  const auto free = free_bytes(options_.dir);
  std::optional<uint64_t> left = free;
  for (const int64_t chunk : {sizing_.chunk_bytes, kSpareChunkBytes}) {
    active_->store.set_chunk(chunk);
    if (free) left = *free - std::min(*free, active_->store.growth_bytes(transaction));
    if (!is_low(left)) break;
  }
  return left;
}

bool SpoolImpl::is_low(std::optional<uint64_t> free) const {
  Fill fill = disk_fill();
  fill.free_bytes = free;
  return state_of(fill, state_) == SpoolState::kDiskLow;
}

// Is there no room for what could as well wait? Asked of the filesystem at most once a second.
bool SpoolImpl::short_of_room(Lock& lock) {
  const MonoTime now = read_clock().mono;
  if (full_ || options_.min_free_bytes == 0) return full_;
  if (now - free_asked_at_ >= kFullRetry) {
    free_asked_at_ = now;
    lock.unlock();
    const auto free = free_bytes(options_.dir);
    lock.lock();
    free_bytes_ = free;
    refresh_state();
  }
  return state_ == SpoolState::kDiskLow;
}

// The acknowledgements of `plan` are on disk.
void SpoolImpl::note_written(const Plan& plan) {
  for (const auto& [lane, first] : plan.trims) index_.remove(lane, first);
  note_doomed(plan);
  if (!plan.transaction.marks.empty()) unwritten_mark_.reset();
  lanes_changed_ = true;
  ledger_.written_pending(plan.quarantine.size(), plan.fates);
  for (const auto& row : plan.transaction.lanes)
    ledger_.written(row, plan.unfinished.contains(row.lane));
  if (!ledger_.has_unwritten()) {
    acks_since_.reset();
    note_unwritten();
  } else if (plan.acks && plan.unfinished.empty()) {
    acks_since_ = plan.at;  // what is left came after the plan was made
  }
  counters_.live_bytes = active_->store.live_bytes();
}

// The records of `batch` are on disk: the lanes can have them, the queue lets go.
CommitQueue::Popped SpoolImpl::note_committed(const Plan& plan, Batch& batch) {
  note_index(plan);
  for (size_t i = 0; i < batch.runs.size(); ++i) {
    Run& run = batch.runs[i];
    const auto& row = plan.transaction.segments[i];
    index_.add(run.lane, {row.id, run.first, run.count, static_cast<uint32_t>(row.stored.size()),
                          active_->number});
    tail_.add(
        std::make_shared<Segment>(run.lane, run.first, run.count, std::move(run.bytes), origin_));
  }
  for (const Pending* record : batch.refused) ledger_.refused(record->lane, record->seq);
  for (const auto& [lane, last] : batch.committed) ledger_.committed(lane, last);
  auto popped = queue_.pop(batch.records);
  batch.refused.clear();  // their records are gone
  ++counters_.commits;
  counters_.committed_records += batch.records;
  counters_.committed_bytes += batch.bytes;
  leave_full();
  return popped;
}

bool SpoolImpl::take_room_promise() {
  const size_t wanted = std::max(refused_bytes_, options_.queue_bytes / 8);
  if (!room_promised_ || (!queue_.empty() && queue_.room() < wanted)) return false;
  room_promised_ = false;
  refused_bytes_ = 0;
  return true;
}

// `popped` are thousands of small pieces of memory: given back while sources can go on.
void SpoolImpl::announce(Lock& lock, const Batch& batch, CommitQueue::Popped popped) {
  const bool room = take_room_promise();
  lock.unlock();
  for (const auto& [source, up_to] : batch.durable) listener_->on_durable(source, up_to);
  for (const auto& [lane, up_to] : batch.committed) listener_->on_committed(lane, up_to);
  if (room) listener_->on_room();
  popped.clear();
  lock.lock();
}

void SpoolImpl::checkpoint(Lock& lock) {
  lock.unlock();
  auto copied = active_->store.checkpoint_if_due();
  lock.lock();
  const bool stuck = !copied && may_try_again(copied.error());
  if (stuck && !wal_grows_)
    log_.warning("spool: {}; the WAL grows until there is room", copied.error().what);
  wal_grows_ = stuck;
  if (!copied && !stuck) enter_fault(lock, std::move(copied).error());
}

void SpoolImpl::enter_full(const Error& error) {
  if (!full_)
    log_.warning("spool: {}; records wait, acknowledgements are still written", error.what);
  full_ = true;
  retry_at_ = read_clock().mono + kFullRetry;
  gave_up_ = stopping_;
  end_flush(error);
}

void SpoolImpl::leave_full() {
  if (full_) log_.info("the spool has room again");
  full_ = false;
}

}  // namespace penstock::spool
