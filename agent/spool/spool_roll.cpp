#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/spool/database.h"
#include "agent/spool/spool_impl.h"
#include "agent/spool/volatile_fs.h"

namespace penstock::spool {
namespace {

constexpr Millis kRollRetry{1000};
constexpr Millis kFileRetry{10'000};  // to make a spare, to remove an old file
constexpr Millis kLanesEvery{10'000};
constexpr Millis kLooksAgain{1000};  // at the soonest, for what is due later
constexpr size_t kCarriedRows = 64;
constexpr uint64_t kCarriedBytes = uint64_t{1} << 20;
constexpr size_t kEvacuatedSegments = 16;
constexpr uint64_t kRoomToMove = 2;    // times what is moved: records come meanwhile
constexpr uint64_t kNearlyEmpty = 16;  // a file with less than one part of so many in use

}  // namespace

void SpoolImpl::add_epoch(const EpochRow& epoch) {
  epochs_.push_back(epoch);
  origin_ = std::make_shared<const Origin>(spool::origin_of(epoch));
  origins_[epoch.id] = origin_;
  current_origin_ = origin_.get();
}

Store* SpoolImpl::store_of(uint32_t generation) {
  if (active_->number == generation) return &active_->store;
  for (const auto& older : older_) {
    if (older->number == generation) return &older->store;
  }
  return nullptr;
}

// What the active generation may take beside the others.
Result<void> SpoolImpl::share_out() {
  return active_->store.resize(sizing_for(options_.max_size_bytes, bytes_of_others()));
}

// The active file must not be written any more (P5).
void SpoolImpl::enter_fault(Lock& lock, Error error) {
  log_.error("spool: {}; nothing more is written to generation {}", error.what, active_->number);
  active_->store.freeze();
  roll(lock);
}

// Makes the next generation active. Until one is, nothing is committed; the queue holds. After a
// fault numbers may have been given out that nobody remembers: a new epoch begins.
void SpoolImpl::roll(Lock& lock, bool is_fault) {
  std::vector<EpochRow> epochs = epochs_;
  if (is_fault) epochs.push_back(*next_epoch(epochs_, where_, true, read_clock().wall_us, log_));
  const Transaction first = activation(ledger_, epochs, ages_.marks());
  lock.unlock();
  auto next = next_generation(first);
  lock.lock();
  if (!next && !is_fault && half_begun_) {
    // At the next start it would be taken for the active one, and what comes now be ignored.
    half_begun_ = false;
    enter_fault(lock, std::move(next).error());
    return;
  }
  if (!next && !is_fault) {
    log_.warning("spool: it stays: {}", next.error().what);
    return;
  }
  if (!next) {
    roll_at_ = read_clock().mono + kRollRetry;
    const bool is_new = !fault_;
    fault_ = next.error();
    if (!is_new) return;
    log_.error("spool: no new file can be made: {}; nothing is committed until one can",
               next.error().what);
    lock.unlock();
    listener_->on_fault(next.error());
    lock.lock();
    return;
  }
  older_.push_back(std::exchange(active_, std::move(*next)));
  if (is_fault) add_epoch(epochs.back());
  index_sums_.clear();
  forgets_index_ = index_sweeps_ = false;
  unwritten_mark_.reset();  // came with the activation
  for (const auto& row : first.lanes) ledger_.written(row, true);
  if (fault_) log_.info("spool: good again");
  const auto level = is_fault ? LogLevel::kWarning : LogLevel::kInfo;
  log_.write(level, fmt::format("spool: collection goes on in generation {}, epoch {}",
                                active_->number, epochs_.back().name));
  fault_.reset();
  ++counters_.rolls;
  counters_.older_files = older_.size();
  wal_grows_ = false;
  retry_at_ = acks_not_before_ = MonoTime{};
  // Before the old file can go: house_keeping() begins with it.
  lanes_changed_ = true;
  lanes_copied_at_.reset();
  counters_.live_bytes = active_->store.live_bytes();
  if (auto shared = share_out(); !shared) log_.warning("spool: {}", shared.error().what);
}

// Replaces the active file when a backlog made it large and has gone: a file never becomes smaller,
// and without VACUUM its room would never be the filesystem's again. What is left of it is moved,
// and it is removed, as after a fault. Only while all that is left fits beside the old file. True
// when the lock was let go of.
bool SpoolImpl::shrink(Lock& lock) {
  const uint64_t used = active_->store.used_bytes();
  const uint64_t live = active_->store.live_bytes();
  const bool is_due = options_.shrink_from_bytes > 0 && used >= options_.shrink_from_bytes &&
                      live < used / kNearlyEmpty;
  const MonoTime now = read_clock().mono;
  if (!is_due || now < shrink_not_before_ || !older_.empty() || full_ || !doomed_.empty())
    return false;
  shrink_not_before_ = now + kFileRetry;
  const uint64_t old_bytes = generation_bytes(options_.dir, active_->number);
  const Sizing next = sizing_for(options_.max_size_bytes, old_bytes);
  if (static_cast<uint64_t>(next.insert_pages * kPageBytes) < kRoomToMove * live) return false;
  log_.info("spool: {} of the {} MiB of generation {} are in use; it is replaced by a smaller one",
            live >> 20, used >> 20, active_->number);
  const uint32_t number = active_->number;
  roll(lock, false);
  if (active_->number == number) return true;
  lock.unlock();
  older_.back()->store.retire();
  lock.lock();
  return true;
}

// The spare, or else a file made now. One that fails is removed: it may be begun on the disk, in
// spite of the error. Where that fails too, `half_begun_` says so until a newer one is begun.
Result<std::unique_ptr<Generation>> SpoolImpl::next_generation(const Transaction& first) {
  if (spare_) {
    auto taken = begin(*spare_, first);
    if (taken || taken.error().kind == ErrorKind::kFull) {
      if (taken) spare_.reset();
      return taken;
    }
    log_.error("spool: spare {}: {}", *spare_, taken.error().what);
    half_begun_ = !remove_generation(options_.dir, *spare_);
    spare_.reset();
  }
  const uint32_t number = ++newest_number_;
  auto made = make_spare(options_.dir, number, spare_sizing(options_.max_size_bytes), log_);
  if (!made) {
    --newest_number_;
    return std::move(made).error();
  }
  auto taken = begin(number, first);
  if (taken) {
    half_begun_ = false;
  } else if (remove_generation(options_.dir, number)) {
    --newest_number_;
  } else {
    half_begun_ = true;
  }
  return taken;
}

Result<std::unique_ptr<Generation>> SpoolImpl::begin(uint32_t number, const Transaction& first) {
  auto db = open_existing(generation_file(options_.dir, number), sizing_);
  if (!db) return std::move(db).error();
  auto store = Store::make(std::move(*db), sizing_);
  if (!store) return std::move(store).error();
  if (auto begun = store->apply(first); !begun) return std::move(begun).error();
  return std::make_unique<Generation>(Generation{number, std::move(*store)});
}

// One step of what can wait until nothing else is to be done. True when the lock was let go of, so
// that there may be news. What did not work is left for a while.
bool SpoolImpl::house_keeping(Lock& lock) {
  const MonoTime now = read_clock().mono;
  house_kept_at_ = now;
  if (fault_ || stopping_) return false;
  if (lanes_changed_ && lanes_due_in() <= Millis(0)) {
    copy_lanes(lock);
    return true;
  }
  const MonoTime asked_at = free_asked_at_;
  const bool is_short = short_of_room(lock);
  const bool let_go = free_asked_at_ != asked_at;
  for (size_t i = 0; i < older_.size(); ++i) {
    if (now < older_[i]->not_before) continue;
    if (next_step(*older_[i], is_short) == Step::kNone) continue;
    Generation* older = older_[i].get();
    if (!keep_older(lock, i, is_short)) older->not_before = now + kFileRetry;
    return true;
  }
  if (may_go_on(Upkeep::kShrink, is_short, 0, 0) && shrink(lock)) return true;
  if (spare_ || sizing_.spare_bytes == 0 || now < spare_not_before_) return let_go;
  if (!may_go_on(Upkeep::kSpare, is_short, 0, 0)) return let_go;
  spare_not_before_ = now + kFileRetry;
  replace_spare(lock);
  return true;
}

// The next step of one of the older files. False: it could not be done now.
bool SpoolImpl::keep_older(Lock& lock, size_t at, bool is_short) {
  switch (next_step(*older_[at], is_short)) {
    case Step::kEvacuate:
      return evacuate(lock, *older_[at]);
    case Step::kCarryOver:
      return carry_over(lock, *older_[at], is_short);
    case Step::kExamine:
      return examine(lock, *older_[at]);
    case Step::kRemove:
      return remove_empty(lock, at);
    case Step::kNone:
      break;
  }
  return true;
}

// When what has changed since the last copy may go into the next one.
Millis SpoolImpl::lanes_due_in() const {
  if (!lanes_copied_at_) return Millis(0);
  return std::chrono::ceil<Millis>(*lanes_copied_at_ + kLanesEvery - options_.mono());
}

// When to look again at what could not be done, or was not due yet.
std::optional<MonoTime> SpoolImpl::chores_at() const {
  const bool wants_spare = !spare_ && sizing_.spare_bytes > 0;
  if (!lanes_changed_ && older_.empty() && !wants_spare) return std::nullopt;
  const Millis lanes_in = lanes_changed_ ? lanes_due_in() : kFileRetry;
  return house_kept_at_ + std::clamp(lanes_in, kLooksAgain, kFileRetry);
}

SpoolImpl::Step SpoolImpl::next_step(const Generation& older, bool is_short) const {
  const auto live = index_.live(older.number);
  if (live.segments > 0) {
    const bool is_worth_it = live.bytes < generation_bytes(options_.dir, older.number) / 10 &&
                             kRoomToMove * live.bytes <= free_quota_bytes();
    const bool may = may_go_on(Upkeep::kMove, is_short, 0, 0);
    return is_worth_it && may ? Step::kEvacuate : Step::kNone;
  }
  if (!older.is_carried) return Step::kCarryOver;
  // What emptied it must be on disk: cursors are, before segments leave the index.
  if (!ledger_.pending_fates().empty()) return Step::kNone;
  return older.is_examined ? Step::kRemove : Step::kExamine;
}

// `why`: what stands against removing an older file; null: nothing any more.
void SpoolImpl::set_kept(Generation& older, const Error* why) {
  if (older.is_kept == (why != nullptr)) return;
  older.is_kept = why != nullptr;
  counters_.kept_files += older.is_kept ? 1 : -uint64_t{1};
  if (!older.is_kept) return;
  log_.error(
      "spool generation {}: what is left of its quarantine cannot be read: {}; the file is kept, "
      "penstock spool repair may find it",
      older.number, why->what);
}

// What is still to be copied, all of it, as it will lie in the active file.
Result<uint64_t> SpoolImpl::bytes_to_carry(Generation& from) {
  constexpr char kSum[] =
      "SELECT (SELECT coalesce(sum(length(record)+length(reason)+64), 0) FROM quarantine WHERE "
      "rowid>?1)+(SELECT coalesce(sum(length(reason)+64), 0) FROM fate WHERE rowid>?2)";
  auto query = from.store.connection().prepare(kSum);
  if (!query) return std::move(query).error();
  query->bind(1, from.quarantine_copied).bind(2, from.fates_copied);
  auto row = query->step();
  if (!row) return std::move(row).error();
  return static_cast<uint64_t>(*row ? query->int_at(0) : 0);
}

// Copies a part of the quarantine and the fates of an older generation. False when that has to
// wait: what cannot be read now is tried again, and the file stays until it can. Where there is no
// room it is done all the same if the file then gives more than all of it takes.
bool SpoolImpl::carry_over(Lock& lock, Generation& from, bool is_short) {
  lock.unlock();
  if (is_short) active_->store.set_chunk(kSpareChunkBytes);
  const auto bytes = is_short ? bytes_to_carry(from) : Result<uint64_t>(0);
  if (bytes && !may_go_on(Upkeep::kCarry, is_short, active_->store.growth_for_bytes(*bytes),
                          generation_bytes(options_.dir, from.number))) {
    lock.lock();
    return false;
  }
  auto part = quarantine_and_fates_of(from);
  if (!part) {
    lock.lock();
    set_kept(from, &part.error());
    return false;
  }
  Result<void> done;
  if (!part->transaction.quarantine.empty() || !part->transaction.fates.empty())
    done = active_->store.apply(part->transaction);
  lock.lock();
  if (!done && may_try_again(done.error())) return false;
  if (!done) {
    enter_fault(lock, std::move(done).error());
    return true;
  }
  set_kept(from, nullptr);
  from.is_carried = part->is_last;
  from.quarantine_copied = part->quarantine_up_to;
  from.fates_copied = part->fates_up_to;
  checkpoint(lock);
  return true;
}

Generation& SpoolImpl::newer_than(const Generation& generation) {
  for (size_t i = 0; i + 1 < older_.size(); ++i) {
    if (older_[i].get() == &generation) return *older_[i + 1];
  }
  return *active_;
}

// Rows for numbers that a newer generation gave out itself belong to a commit that failed.
Result<bool> SpoolImpl::is_own(const Generation& generation, LaneId lane, Seq seq) {
  Generation* newer = &newer_than(generation);
  if (!newer->begins) {
    auto rows = read_lanes(newer->store.connection());
    if (!rows) return std::move(rows).error();
    newer->begins.emplace();
    for (const auto& row : *rows) (*newer->begins)[row.lane] = row.first_seq;
  }
  const auto found = newer->begins->find(lane);
  return found != newer->begins->end() && seq < found->second;
}

Result<SpoolImpl::Carried> SpoolImpl::quarantine_and_fates_of(Generation& from) {
  Carried part{{}, from.quarantine_copied, from.fates_copied, true};
  Connection& db = from.store.connection();
  auto query = db.prepare(
      "SELECT rowid, lane, seq, epoch, at_us, reason, record FROM quarantine WHERE rowid>? "
      "ORDER BY rowid");
  if (!query) return std::move(query).error();
  query->bind(1, from.quarantine_copied);
  uint64_t bytes = 0;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) break;
    if (part.transaction.quarantine.size() >= kCarriedRows || bytes >= kCarriedBytes) {
      part.is_last = false;
      return part;
    }
    part.quarantine_up_to = query->int_at(0);
    const auto lane = static_cast<LaneId>(query->int_at(1));
    const auto seq = static_cast<Seq>(query->int_at(2));
    const auto own = is_own(from, lane, seq);
    if (!own) return own.error();
    if (!*own) continue;
    part.transaction.quarantine.push_back({lane, seq, static_cast<uint32_t>(query->int_at(3)),
                                           query->int_at(4), std::string(query->bytes_at(5)),
                                           std::string(query->bytes_at(6))});
    bytes += query->bytes_at(6).size();
  }
  auto fates = db.prepare(
      "SELECT rowid, lane, first_seq, last_seq, kind, at_us, reason FROM fate WHERE rowid>? "
      "ORDER BY rowid");
  if (!fates) return std::move(fates).error();
  fates->bind(1, from.fates_copied);
  for (;;) {
    auto row = fates->step();
    if (!row) return std::move(row).error();
    if (!*row) return part;
    if (part.transaction.fates.size() >= kCarriedRows) {
      part.is_last = false;
      return part;
    }
    part.fates_up_to = fates->int_at(0);
    const auto lane = static_cast<LaneId>(fates->int_at(1));
    const SeqRange range{static_cast<Seq>(fates->int_at(2)), static_cast<Seq>(fates->int_at(3))};
    const auto own = is_own(from, lane, range.first);
    if (!own) return own.error();
    if (!*own) continue;
    const auto rest = without_fate(lane, range);
    if (!rest) return rest.error();
    for (const auto& piece : *rest) {
      part.transaction.fates.push_back({lane, piece, static_cast<FateKind>(fates->int_at(4)),
                                        fates->int_at(5), std::string(fates->bytes_at(6))});
    }
  }
}

// A fate of the commit that failed was written again here, and yet may have reached the old file.
Result<std::vector<SeqRange>> SpoolImpl::without_fate(LaneId lane, SeqRange range) {
  auto query = active_->store.connection().prepare(
      "SELECT first_seq, last_seq FROM fate WHERE lane=? AND first_seq<=? AND last_seq>=?");
  if (!query) return std::move(query).error();
  query->bind(1, int64_t{lane}).bind(2, range.last).bind(3, range.first);
  SeqRanges here;
  for (;;) {
    auto row = query->step();
    if (!row) return std::move(row).error();
    if (!*row) return here.missing_in(range);
    here.add({static_cast<Seq>(query->int_at(0)), static_cast<Seq>(query->int_at(1))});
  }
}

// Moves some of the last segments of a nearly empty generation into the active one, as they are.
// Only while all of them have room there: a part of them would be in two files, for as long as
// their lane stands still, and be in the way of new records.
bool SpoolImpl::evacuate(Lock& lock, Generation& from) {
  const auto but = [&from](const IndexEntry& entry) { return from.unmoved.contains(entry.id); };
  auto wanted = index_.some_of(from.number, kEvacuatedSegments, but);
  if (const auto absent = index_.absent_of(from.number); wanted.empty() && absent) {
    if (!fill_index(lock, absent->first, 1, absent->second)) return false;
    wanted = index_.some_of(from.number, kEvacuatedSegments, but);
  }
  if (wanted.empty()) {
    std::erase_if(from.unmoved, [](const auto& one) { return one.second != ErrorKind::kCorrupt; });
    return false;
  }
  lock.unlock();
  Moved part = read_to_move(from, wanted);
  Transaction& transaction = part.transaction;
  transaction.index_rows = rows_of_moved(part.entries);
  transaction.forgets_index = forgets_index_;
  Result<void> done;
  const bool fits = active_->store.fits(transaction, 0) && !is_low(free_beside(transaction));
  const bool is_any = !part.entries.empty();
  if (fits && is_any) done = active_->store.apply(transaction);
  lock.lock();
  if (!is_any) return true;  // on to others
  if (!fits || (!done && may_try_again(done.error()))) return false;
  if (!done) {
    enter_fault(lock, std::move(done).error());
    return true;
  }
  forgets_index_ = false;
  for (const auto& [lane, entry] : part.entries) index_.move(lane, entry);
  counters_.live_bytes = active_->store.live_bytes();
  checkpoint(lock);
  return true;
}

// As many of `wanted` as go into one commit. Of those that cannot be read their lanes will find out
// and say so.
SpoolImpl::Moved SpoolImpl::read_to_move(Generation& from,
                                         const std::vector<std::pair<LaneId, IndexEntry>>& wanted) {
  Moved part;
  uint64_t bytes = 0;
  for (const auto& [lane, entry] : wanted) {
    auto decoded = load_segment(lane, entry);
    auto stored = decoded ? from.store.read(entry.id) : Result<std::string>(decoded.error());
    if (!stored) {
      from.unmoved[entry.id] = stored.error().kind;
      continue;
    }
    // With its id, by which its age is told. One that is taken there came from a parked file.
    const auto is_taken = active_->store.has(entry.id);
    if (!is_taken || *is_taken) {
      from.unmoved[entry.id] = is_taken ? ErrorKind::kCorrupt : is_taken.error().kind;
      continue;
    }
    if (bytes > 0 && bytes + stored->size() > kCommitCapBytes) break;
    bytes += stored->size();
    part.entries.emplace_back(
        lane, IndexEntry{entry.id, entry.first, entry.count, entry.bytes, active_->number});
    part.transaction.segments.push_back({entry.id, decoded->header, std::move(*stored)});
  }
  return part;
}

bool SpoolImpl::remove_empty(Lock& lock, size_t at) {
  if (const auto why = older_[at]->remains->verdict()) {
    if (!keep(lock, at, *why)) return false;
    if (auto shared = share_out(); !shared) log_.warning("spool: {}", shared.error().what);
    return true;
  }
  const uint32_t number = older_[at]->number;
  lock.unlock();
  auto removed = remove_generation(options_.dir, number);
  lock.lock();
  if (!removed) {
    log_.warning("spool: {}", removed.error().what);
    return false;
  }
  log_.info("spool: generation {} is empty and was removed", number);
  older_.erase(older_.begin() + static_cast<ptrdiff_t>(at));
  spare_not_before_ = {};
  counters_.older_files = older_.size();
  if (auto shared = share_out(); !shared) log_.warning("spool: {}", shared.error().what);
  after_commit(lock);  // there is more room
  return true;
}

void SpoolImpl::replace_spare(Lock& lock) {
  const uint32_t number = newest_number_ + 1;
  const uint64_t used = generation_bytes(options_.dir, active_->number) + bytes_of_others();
  if (used + sizing_.spare_bytes > options_.max_size_bytes) return;
  lock.unlock();
  const auto free = free_bytes(options_.dir);
  if (free && is_low(*free - std::min(*free, sizing_.spare_bytes))) {
    lock.lock();
    return;
  }
  auto made = make_spare(options_.dir, number, spare_sizing(options_.max_size_bytes), log_);
  lock.lock();
  if (!made) {
    log_.warning("spool: no spare file could be made: {}", made.error().what);
    return;
  }
  spare_ = newest_number_ = number;
}

void SpoolImpl::copy_lanes(Lock& lock) {
  LanesCopy copy{active_->number, epochs_, activation(ledger_, {}, {}).lanes};
  lanes_changed_ = false;
  lanes_copied_at_ = options_.mono();
  lock.unlock();
  auto written = lanes_file_.write(copy);
  lock.lock();
  if (written) return;
  lanes_changed_ = true;  // again, when it is due
  log_.warning("spool: {}", written.error().what);
}

}  // namespace penstock::spool
