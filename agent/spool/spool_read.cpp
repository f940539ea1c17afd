#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr size_t kRemembered = 1024;          // segments behind a read error
constexpr int64_t kLeftAloneUs = 10'000'000;  // a lane asks every second
constexpr int kReadsPerTurn = 8;              // between two looks at whether a commit is due

}  // namespace

void SpoolImpl::read(LaneId lane, Seq from, ReadCallback done) {
  Result<SegmentPtr> found = Error{ErrorKind::kShutdown, "the spool is stopping", {}};
  {
    const Lock lock(mutex_);
    if (!stopping_) {
      SegmentPtr segment = take_from_tail(lane, from);
      if (!segment) {
        reads_.push_back({lane, from, std::move(done), options_.mono()});
        wake_.notify_one();
        return;
      }
      found = std::move(segment);
    }
  }
  done(std::move(found));
}

// What needs neither the disk nor patience; null: it is the thread's to find out. A lane that keeps
// up reads after each commit, and two threads to wake cost more than the rest of a small one.
SegmentPtr SpoolImpl::take_from_tail(LaneId lane, Seq from) {
  if (must_hold(lane) || index_.absent_at(lane, from)) return nullptr;
  const IndexEntry* entry = index_.find(lane, from);
  SegmentPtr segment = entry != nullptr ? tail_.find(lane, entry->first) : nullptr;
  if (segment) {
    guard(lane).sending = entry->last();
    ++counters_.tail_hits;
  }
  return segment;
}

void SpoolImpl::serve_reads(Lock& lock) {
  for (int i = 0; i < kReadsPerTurn && !reads_.empty(); ++i) {
    ReadRequest request = std::move(reads_.front());
    reads_.pop_front();
    if (hold(request)) continue;
    asked_at_ = request.asked_at;
    if (auto known = know_segment(lock, request); !known) {
      lock.unlock();
      request.done(std::move(known).error());
      lock.lock();
      continue;
    }
    const IndexEntry* found = index_.find(request.lane, request.from);
    const std::optional<IndexEntry> entry = found != nullptr ? std::optional(*found) : std::nullopt;
    SegmentPtr segment = entry ? tail_.find(request.lane, entry->first) : nullptr;
    if (entry) guard(request.lane).sending = entry->last();
    if (entry) ++(segment ? counters_.tail_hits : counters_.disk_reads);
    const LaneKey key = ledger_.state(request.lane).key;
    lock.unlock();
    if (segment || !entry) {
      request.done(std::move(segment));
    } else if (auto decoded = load_segment(request.lane, *entry)) {
      unread_since_us_.erase({request.lane, entry->first});
      request.done(SegmentPtr(std::make_shared<Segment>(request.lane, entry->first, entry->count,
                                                        std::move(decoded->run),
                                                        origin_of(decoded->header.epoch))));
    } else {
      if (has_waited_enough(request.lane, *entry, decoded.error()))
        decoded.error().kind = ErrorKind::kCorrupt;
      request.done(std::move(decoded).error().in(
          fmt::format("spool lane {} (route '{}', table '{}'): records {}..{} cannot be read",
                      request.lane, key.route, key.table, entry->first, entry->last())));
    }
    lock.lock();
  }
  asked_at_.reset();
}

Result<void> SpoolImpl::know_segment(Lock& lock, const ReadRequest& request) {
  while (const auto absent = index_.absent_at(request.lane, request.from)) {
    auto filled = fill_index(lock, request.lane, request.from, *absent);
    if (!filled) return filled;
  }
  return {};
}

// A read error may pass; records are given up only when it has not for salvage_wait while their
// lane asked again and again. How long the answer took does not count: a bad medium takes its time.
bool SpoolImpl::has_waited_enough(LaneId lane, const IndexEntry& entry, const Error& error) {
  if (error.kind != ErrorKind::kTransient) return false;
  const auto micros = [](auto duration) {
    return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  };
  const int64_t now_us = options_.clock().boot_us;
  if (unread_since_us_.size() >= kRemembered) {
    std::erase_if(unread_since_us_,
                  [&](const auto& one) { return now_us - one.second.last_us > kLeftAloneUs; });
  }
  auto& unread =
      unread_since_us_.try_emplace({lane, entry.first}, Unread{now_us, now_us}).first->second;
  const int64_t asked_us = asked_at_ ? now_us - micros(options_.mono() - *asked_at_) : 0;
  if (asked_us - unread.last_us > kLeftAloneUs) unread.first_us = now_us;
  unread.last_us = now_us;
  return now_us - unread.first_us >= micros(options_.salvage_wait);
}

OriginPtr SpoolImpl::origin_of(uint32_t epoch) const {
  const auto found = origins_.find(epoch);
  if (found != origins_.end()) return found->second;
  return std::make_shared<const Origin>(unknown_origin(options_.agent_id, epoch));
}

Result<DecodedSegment> SpoolImpl::load_segment(LaneId lane, const IndexEntry& entry) {
  Store* store = store_of(entry.generation);
  if (store == nullptr)
    return Error{ErrorKind::kCorrupt, "the file they were in cannot be opened", {}};
  auto stored = store->read(entry.id);
  if (!stored) return std::move(stored).error();
  auto decoded = codec_.parse(*stored);
  if (!decoded) return decoded;
  const auto& header = decoded->header;
  if (header.lane != lane || header.first != entry.first || header.count != entry.count) {
    return Error{ErrorKind::kCorrupt, "the segment there belongs to other records", {}};
  }
  return decoded;
}

}  // namespace penstock::spool
