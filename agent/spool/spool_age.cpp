// Records that outlive the max_age of their route: found on the spool thread, dropped like any
// overflow.
#include <algorithm>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr size_t kPerRound = 256;  // segments looked at between two commits
constexpr uint64_t kBytesPerRound = uint64_t{4} << 20;
constexpr Millis kAgain{20};

}  // namespace

std::optional<MonoTime> SpoolImpl::expiry_due() const {
  if (!least_age_ || fault_ || stopping_) return std::nullopt;
  return expiry_at_;
}

void SpoolImpl::expire(Lock& lock) {
  const auto due = expiry_due();
  const MonoTime now = read_clock().mono;
  if (!due || *due > now) return;
  expiry_at_ = now + kAgain;
  if (!doomed_.empty()) return;
  const ClockReading reading = options_.clock();
  std::vector<LaneId> lanes;
  for (const auto& [lane, one] : guards_) {
    if (one.policy.max_age) lanes.push_back(lane);
  }
  size_t looked = 0;
  for (const LaneId lane : lanes) {
    while (looked < kPerRound && doomed_bytes_ < kBytesPerRound &&
           expire_head(lock, lane, reading)) {
      ++looked;
    }
  }
  if (doomed_.empty())
    expiry_at_ = now + std::clamp<Millis>(*least_age_ / 20, Millis(100), Millis(60'000));
}

// True when there may be more: the oldest segment of `lane` was too old and is gone, or has no age.
bool SpoolImpl::expire_head(Lock& lock, LaneId lane, const ClockReading& now) {
  Guard& one = guard(lane);
  const Seq after = std::max({ledger_.cursor(lane), one.sending, one.ageless});
  if (const auto absent = index_.absent_behind(lane, after, {}))
    (void)fill_index(lock, lane, after + 1, *absent);
  auto oldest = droppable(lane, one, one.ageless, 1);
  if (oldest.empty()) return false;
  const IndexEntry entry = oldest.front();
  if (one.head_id != entry.id) {
    Store* store = store_of(entry.generation);
    if (store == nullptr) return false;
    lock.unlock();
    const auto newest_us = store->newest_us(entry.id);
    lock.lock();
    if (!newest_us) return false;  // whoever reads it will find out why
    one.head_id = entry.id;
    one.head_us = *newest_us;
    oldest = droppable(lane, one, one.ageless, 1);
    if (oldest.empty() || oldest.front().id != entry.id) return false;
  }
  const auto age = ages_.age(entry.id, one.head_us, now);
  if (!age && now.is_set) one.ageless = entry.last();
  if (!age) return now.is_set;
  if (*age <= *one.policy.max_age) return false;
  doom(lane, entry, FateKind::kDroppedAge, "age");
  return true;
}

}  // namespace penstock::spool
