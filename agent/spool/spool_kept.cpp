#include <algorithm>

#include "agent/spool/database.h"
#include "agent/spool/gone_back.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr int kRowsPerStep = 256;
constexpr char kAdvice[] = "penstock spool repair gets out of it what can be had";

}  // namespace

uint64_t SpoolImpl::bytes_of_others() const {
  uint64_t bytes = 0;
  for (const auto& older : older_) bytes += generation_bytes(options_.dir, older->number);
  for (const uint32_t number : parked_) bytes += generation_bytes(options_.dir, number);
  for (const auto& kept : kept_) bytes += kept_bytes(options_.dir, kept);
  return bytes;
}

// What the account of all files says about one of them that is empty.
Result<RemainsOf> SpoolImpl::remains_of(Generation& older) {
  RemainsOf of;
  if (auto read = add_damaged(active_->store.connection(), of.damaged); !read)
    return std::move(read).error();
  // Of files whose fates cannot be read carry_over() has said so.
  for (const auto& one : older_) (void)add_damaged(one->store.connection(), of.damaged);
  of.parked = read_parked_mark(options_.dir, older.number);
  const auto begins = read_lanes(older.store.connection());
  for (const auto& [lane, ranges] : of.damaged) {
    Seq first = 1;
    if (begins) {
      for (const auto& row : *begins) first = row.lane == lane ? row.first_seq : first;
    }
    const auto ends = is_own(older, lane, first);
    if (!ends) return ends.error();
    const auto& newer = newer_than(older).begins;
    if (*ends) of.own[lane] = {first, newer->at(lane) - 1};
  }
  return of;
}

// One step of finding out whether an older file may be removed. False: later again.
bool SpoolImpl::examine(Lock& lock, Generation& older) {
  lock.unlock();
  Result<void> ready;
  if (!older.remains) {
    auto of = remains_of(older);
    lock.lock();
    for (const auto& state : ledger_.states()) {
      if (of) of->lanes.insert(state.id);
    }
    lock.unlock();
    if (of) {
      const bool is_plain = of->damaged.empty() && !of->parked && !older.has_strangers;
      older.is_examined = is_plain;
      older.remains.emplace(std::move(*of));
    } else {
      ready = std::move(of).error();
    }
  }
  if (ready && !older.is_examined) ready = examine_on(older);
  lock.lock();
  if (!ready) log_.warning("spool generation {}: {}", older.number, ready.error().what);
  return ready.has_value();
}

// What cannot be read is waited for as long as records are that a lane asks for.
Result<void> SpoolImpl::examine_on(Generation& older) {
  const int64_t now_us = options_.clock().boot_us;
  const int64_t wait_us = std::chrono::microseconds(options_.salvage_wait).count();
  const bool waits = now_us - older.unread_since_us.value_or(now_us) < wait_us;
  auto finished = older.remains->step(older.store.connection(), kRowsPerStep, waits);
  if (!finished) {
    older.unread_since_us = older.unread_since_us.value_or(now_us);
    return std::move(finished).error();
  }
  older.unread_since_us.reset();
  older.is_examined = *finished;
  return {};
}

// Instead of removing it. One that was replaced, and not set aside, may have gone back as well.
bool SpoolImpl::keep(Lock& lock, size_t at, KeptFor why) {
  KeptFile kept{older_[at]->number, why};
  lock.unlock();
  const auto log = generation_file(options_.dir, kept.number) += "-wal";
  if (!has_whole_log(log)) kept.why = KeptFor::kRecords;
  auto done = keep_generation(options_.dir, kept);
  lock.lock();
  if (!done) {
    log_.warning("spool: {}", done.error().what);
    return false;
  }
  older_.erase(older_.begin() + static_cast<ptrdiff_t>(at));
  kept_.push_back(kept);
  std::sort(kept_.begin(), kept_.end());
  const uint64_t quota = quarantine_quota_;
  lock.unlock();
  log_.error("spool generation {}: {}; it is kept as {}: {}", kept.number,
             kept.why == KeptFor::kRecords
                 ? "it holds sound records that are counted as damaged, in it or behind the end of "
                   "its log, or cannot be read to its end"
                 : "records in it are counted as damaged",
             kept_file(options_.dir, kept).string(), kAdvice);
  const uint64_t removed = limit_kept(quota);
  lock.lock();
  counters_.kept_files += 1 - removed;
  counters_.older_files = older_.size();
  return true;
}

// What a person may get something from has the room of the quarantine; the oldest goes first.
uint64_t SpoolImpl::limit_kept(uint64_t quota) {
  const auto is_limited = [](const KeptFile& one) { return one.why == KeptFor::kPages; };
  uint64_t bytes = 0;
  uint64_t gone = 0;
  for (const auto& one : kept_) bytes += is_limited(one) ? kept_bytes(options_.dir, one) : 0;
  for (auto it = kept_.begin(); it != kept_.end() && bytes > quota;) {
    if (!is_limited(*it)) {
      ++it;
      continue;
    }
    const uint64_t its = kept_bytes(options_.dir, *it);
    if (auto removed = remove_kept(options_.dir, *it); !removed) {
      log_.warning("spool: {}", removed.error().what);
      return gone;
    }
    log_.error(
        "spool generation {}: removed with what a repair could still have found in it: kept files "
        "may take {} MiB, the quota of the quarantine",
        it->number, quota >> 20);
    bytes -= its;
    ++gone;
    it = kept_.erase(it);
  }
  return gone;
}

}  // namespace penstock::spool
