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
constexpr Millis kLooksAgain{1000};    // at the soonest, for what is due later
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
