// What keeps the spool within its limits: shares, overflow, the quarantine's quota. The decisions
// are in retention.cpp; here they are carried out, with mutex_ held.
#include <algorithm>
#include <iterator>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

// Of one transaction: bounds its time, and what a crash undoes.
constexpr uint64_t kDropBytes = uint64_t{4} << 20;
constexpr size_t kDropSegments = 256;
constexpr size_t kEndedLooked = 4096;

std::string_view consequence(OverflowPolicy policy) {
  switch (policy) {
    case OverflowPolicy::kBlock:
      return "its sources wait";
    case OverflowPolicy::kDropOldest:
      return "its oldest records are dropped";
    case OverflowPolicy::kDropNewest:
      return "its new records are refused";
  }
  return "";
}

}  // namespace

// The room for records as long as there is one file. What older ones take of it is in use.
uint64_t SpoolImpl::quota_bytes() const {
  return static_cast<uint64_t>(sizing_.insert_pages * kPageBytes);
}

uint64_t SpoolImpl::free_quota_bytes() const {
  const uint64_t quota = static_cast<uint64_t>(active_->store.sizing().insert_pages * kPageBytes);
  return quota - std::min(quota, active_->store.live_bytes());
}

SpoolImpl::Guard& SpoolImpl::guard(LaneId lane) {
  const auto found = guards_.find(lane);
  if (found != guards_.end()) return found->second;
  Guard& made = guards_[lane];
  // By the lane's own name: what was imported, replayed or found again by a repair is not limited
  // as its route is. It mostly is older than any max_age, and nothing feeds it that could be held.
  const auto policy = options_.policies.find(ledger_.state(lane).key.route);
  made.policy = policy == options_.policies.end() ? options_.other_lanes : policy->second;
  // It stores nothing but the quarantine, which has its own limit.
  if (lane == kUnroutedLane) made.policy = {OverflowPolicy::kBlock, 100.0, {}};
  if (made.policy.max_share_percent) {
    made.share_bytes =
        shares({{0, made.policy.max_share_percent}}, quota_bytes(), 0, state_).front();
  }
  if (made.policy.max_age)
    least_age_ = std::min(least_age_.value_or(*made.policy.max_age), *made.policy.max_age);
  return made;
}

LaneState SpoolImpl::with_guard(LaneState state) const {
  const auto found = guards_.find(state.id);
  if (found == guards_.end()) return state;
  state.stored_bytes = use_of(state.id);
  state.over_share = found->second.over;
  return state;
}

Admission SpoolImpl::admit(LaneId lane) {
  const Lock lock(mutex_);
  if (!ledger_.has(lane)) return Admission::kTake;
  Guard& one = guard(lane);
  auto verdict = admission(one.policy.overflow, use_of(lane), one.share_bytes, full_);
  if (lane == kUnroutedLane && quarantine_full()) verdict = Admission::kBlock;
  if (verdict != Admission::kBlock) return verdict;
  one.waits = true;
  if (lane == kUnroutedLane) return verdict;  // a person makes room for it
  // What was acknowledged makes room: it is not to wait for a commit of records.
  if (!std::exchange(lane_waits_, true)) wake_.notify_one();
  return verdict;
}

bool SpoolImpl::may_resume(const Guard& guard, LaneId lane) const {
  if (lane == kUnroutedLane) return !quarantine_full();
  const uint64_t use = use_of(lane);
  return use == 0 || use < guard.share_bytes - guard.share_bytes / 16;
}

void SpoolImpl::turned_away(LaneId lane, uint64_t count) {
  const Lock lock(mutex_);
  ledger_.turned_away(lane, count);
  note_unwritten();
}

void SpoolImpl::rewound(LaneId lane, Seq from) {
  const Lock lock(mutex_);
  if (ledger_.has(lane)) guard(lane).sending = from - 1;
}

bool SpoolImpl::decided(LaneId lane, SeqRange range) const {
  const Lock lock(mutex_);
  if (!ledger_.has(lane)) return false;
  const LaneState state = ledger_.state(lane);
  range.first = std::max(range.first, state.cursor + 1);
  return range.empty() || (range.last < state.next_seq && ledger_.undecided(lane, range).empty());
}

std::vector<SeqRange> SpoolImpl::decided_parts(LaneId lane, SeqRange range) const {
  const Lock lock(mutex_);
  return ledger_.has(lane) ? ledger_.decided(lane, range) : std::vector<SeqRange>();
}

bool SpoolImpl::pressed() const { return state_ != SpoolState::kGreen || lane_waits_; }

void SpoolImpl::refresh_state() {
  counters_.quota_bytes = static_cast<uint64_t>(active_->store.sizing().insert_pages * kPageBytes);
  const uint64_t used = quota_bytes() - std::min(quota_bytes(), free_quota_bytes());
  const Fill fill{used, quota_bytes(), free_bytes_, options_.min_free_bytes, disk_refused_};
  const SpoolState now = state_of(fill, state_);
  if (now == state_) return;
  log_.write(now > state_ ? LogLevel::kWarning : LogLevel::kInfo,
             fmt::format("the spool is {} (was {}): {} of {} bytes in use{}", to_string(now),
                         to_string(state_), fill.live_bytes, fill.quota_bytes,
                         free_bytes_ ? fmt::format(", {} free on the filesystem", *free_bytes_)
                                     : std::string()));
  state_ = counters_.state = now;
}

void SpoolImpl::refresh_shares() {
  std::vector<LaneUse> uses;
  uses.reserve(guards_.size());
  for (const auto& [lane, one] : guards_)
    uses.push_back({use_of(lane), one.policy.max_share_percent});
  const uint64_t free = free_quota_bytes();
  const auto now =
      shares(uses, quota_bytes(), free - std::min<uint64_t>(free, queue_.bytes()), state_);
  wants_drops_ = false;
  size_t i = 0;
  for (auto& [lane, one] : guards_) {
    one.share_bytes = now[i];
    const uint64_t edge = one.over ? one.share_bytes - one.share_bytes / 16 : one.share_bytes;
    say_over(lane, one, uses[i].bytes > 0 && uses[i].bytes >= edge, uses[i].bytes);
    wants_drops_ = wants_drops_ || (one.policy.overflow == OverflowPolicy::kDropOldest &&
                                    uses[i].bytes > one.share_bytes);
    ++i;
  }
}

void SpoolImpl::say_over(LaneId lane, Guard& guard, bool over, uint64_t use) {
  if (over == std::exchange(guard.over, over)) return;
  const LaneKey key = ledger_.state(lane).key;
  if (over) {
    log_.warning(
        "lane {} (route '{}', table '{}') holds {} bytes, its share of the spool is {}: {}", lane,
        key.route, key.table, use, guard.share_bytes, consequence(guard.policy.overflow));
  } else {
    log_.info("lane {} (route '{}', table '{}') is below its share again", lane, key.route,
              key.table);
  }
}

// Room may have come, or gone.
void SpoolImpl::after_commit(Lock& lock) {
  refresh_state();
  refresh_shares();
  if (wants_drops_ && !acks_since_ && !stopping_)
    acks_since_ = read_clock().mono;  // with the next ones
  counters_.quarantine_bytes = ledger_.quarantine_bytes();
  if (quarantine_full() != quarantine_said_) {
    quarantine_said_ = !quarantine_said_;
    log_.write(quarantine_said_ ? LogLevel::kError : LogLevel::kInfo,
               quarantine_said_
                   ? fmt::format("the quarantine is full ({} of {} bytes): lanes that need it hold "
                                 "until records are taken out of it",
                                 ledger_.quarantine_bytes(), quarantine_quota_)
                   : std::string("the quarantine has room again"));
  }
  if (!quarantine_full()) {
    // They were asked before those of their lanes that are still in the queue, if there are any.
    reads_.insert(reads_.begin(), std::make_move_iterator(held_reads_.begin()),
                  std::make_move_iterator(held_reads_.end()));
    held_reads_.clear();
  }
  bool room = false;
  lane_waits_ = false;
  for (auto& [lane, one] : guards_) {
    if (one.waits && may_resume(one, lane)) {
      one.waits = false;
      room = true;
    }
    lane_waits_ = lane_waits_ || (one.waits && lane != kUnroutedLane);
  }
  if (!room) return;
  lock.unlock();
  listener_->on_room();
  lock.lock();
}

bool SpoolImpl::holds(LaneId lane) const {
  const Lock lock(mutex_);
  return ledger_.has(lane) && must_hold(lane);
}

// A lane whose refused records find no room in the quarantine gets no further ones to refuse. It
// has one read at a time: one that asks again has lost its stream, and what it asked before is not
// answered any more, or they would add up for as long as the quarantine is full.
bool SpoolImpl::hold(ReadRequest& request) {
  if (!must_hold(request.lane)) return false;
  std::erase_if(held_reads_,
                [&](const ReadRequest& before) { return before.lane == request.lane; });
  held_reads_.push_back(std::move(request));
  return true;
}

// Segments behind `after` that may be dropped, oldest first: not on their way, and not removed
// anyway.
std::vector<IndexEntry> SpoolImpl::droppable(LaneId lane, const Guard& guard, Seq after,
                                             size_t count,
                                             std::optional<uint32_t> generation) const {
  const Seq cursor = ledger_.cursor(lane);
  const bool waits = ledger_.waits_for_quarantine(lane);
  auto found = index_.behind(lane, std::max({cursor, guard.sending, after}), count + 1, generation);
  std::erase_if(found, [&](const IndexEntry& entry) {
    // The quarantine is to have its copy first.
    return (entry.first <= guard.sending && guard.sending > cursor) ||
           (waits && ledger_.waits_for_quarantine(lane, {entry.first, entry.last()}));
  });
  if (found.size() > count) found.pop_back();
  return found;
}

void SpoolImpl::doom(LaneId lane, const IndexEntry& entry, FateKind kind,
                     const std::string& reason) {
  ledger_.decide(lane, {entry.first, entry.last()}, kind, read_clock().wall_us, reason);
  index_.remove(lane, entry.first);
  tail_.release(lane, ledger_.cursor(lane));
  doomed_.push_back({lane, entry});
  doomed_bytes_ += entry.bytes;
  note_unwritten();
}

// Returns what was dropped.
uint64_t SpoolImpl::drop_oldest(LaneId lane, Guard& guard, uint64_t wanted,
                                std::optional<uint32_t> generation) {
  uint64_t dropped = 0;
  for (const auto& entry : droppable(lane, guard, 0, kDropSegments, generation)) {
    if (dropped >= wanted || doomed_bytes_ >= kDropBytes) break;
    dropped += entry.bytes;
    doom(lane, entry, FateKind::kDroppedOverflow, "overflow");
  }
  return dropped;
}

// Lanes over their share give up their oldest, up to 4 MB at a time.
void SpoolImpl::drop_overflow() {
  if (!doomed_.empty()) return;
  for (auto& [lane, one] : guards_) {
    if (one.policy.overflow != OverflowPolicy::kDropOldest) continue;
    uint64_t use = use_of(lane);
    if (use <= one.share_bytes) continue;
    // What is acknowledged goes anyway.
    const auto ended = index_.ended_by(lane, ledger_.cursor(lane), kEndedLooked, UINT64_MAX);
    if (index_.has_ended(lane, ledger_.cursor(lane), ended.size())) continue;  // and there is more
    for (const auto& entry : ended) use -= std::min<uint64_t>(use, entry.bytes);
    if (use > one.share_bytes) drop_oldest(lane, one, use - one.share_bytes);
  }
}

// Nobody is over its share, or not by enough, and yet a commit found no room: the largest of the
// lanes that may be dropped yields. Only what is in the active file makes room. False when none
// can.
bool SpoolImpl::drop_for_commit(uint64_t wanted) {
  if (!doomed_.empty()) return false;
  std::vector<std::pair<uint64_t, LaneId>> lanes;
  for (const auto& [lane, one] : guards_) {
    if (one.policy.overflow == OverflowPolicy::kDropOldest)
      lanes.emplace_back(index_.bytes(lane), lane);
  }
  std::sort(lanes.rbegin(), lanes.rend());
  uint64_t dropped = 0;
  for (const auto& [bytes, lane] : lanes) {
    if (dropped < wanted)
      dropped += drop_oldest(lane, guards_[lane], wanted - dropped, active_->number);
  }
  return dropped > 0;
}

void SpoolImpl::plan_doomed(Plan& plan) const {
  plan.doomed = doomed_.size();
  for (const auto& [lane, entry] : doomed_) {
    if (entry.generation != active_->number) continue;  // older files are not written any more
    plan.transaction.deletes.push_back(entry.id);
    plan.freed_bytes += entry.bytes;
  }
}

void SpoolImpl::note_doomed(const Plan& plan) {
  for (size_t i = 0; i < plan.doomed; ++i) {
    doomed_bytes_ -= doomed_.front().entry.bytes;
    doomed_.pop_front();
  }
}

// The rows of the quarantine are counted with the row of their lane, so that opening need not read
// them.
void SpoolImpl::count_quarantine(Transaction& transaction) {
  if (transaction.quarantine.empty()) return;
  std::map<LaneId, uint64_t> bytes;
  for (const auto& row : transaction.quarantine)
    bytes[row.lane] += row.record.size() + row.reason.size();
  for (auto& lane : transaction.lanes) {
    const auto found = bytes.find(lane.lane);
    if (found != bytes.end()) lane.quarantine_bytes += found->second;
  }
}

}  // namespace penstock::spool
