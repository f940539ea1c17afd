#include <spdlog/fmt/fmt.h>

#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

constexpr int kReadsPerTurn = 8;  // between two looks at whether a commit is due

}  // namespace

void SpoolImpl::read(LaneId lane, Seq from, ReadCallback done) {
  {
    const Lock lock(mutex_);
    if (!stopping_) {
      reads_.push_back({lane, from, std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done(Error{ErrorKind::kShutdown, "the spool is stopping", {}});
}

void SpoolImpl::serve_reads(Lock& lock) {
  for (int i = 0; i < kReadsPerTurn && !reads_.empty(); ++i) {
    ReadRequest request = std::move(reads_.front());
    reads_.pop_front();
    const IndexEntry* found = index_.find(request.lane, request.from);
    const std::optional<IndexEntry> entry = found != nullptr ? std::optional(*found) : std::nullopt;
    SegmentPtr segment = entry ? tail_.find(request.lane, entry->first) : nullptr;
    if (entry) ++(segment ? counters_.tail_hits : counters_.disk_reads);
    const LaneKey key = ledger_.state(request.lane).key;
    lock.unlock();
    if (segment || !entry) {
      request.done(std::move(segment));
    } else if (auto decoded = load_segment(request.lane, *entry)) {
      request.done(SegmentPtr(std::make_shared<Segment>(request.lane, entry->first, entry->count,
                                                        std::move(decoded->run))));
    } else {
      request.done(std::move(decoded).error().in(
          fmt::format("spool lane {} (route '{}', table '{}'): records {}..{} cannot be read",
                      request.lane, key.route, key.table, entry->first, entry->last())));
    }
    lock.lock();
  }
}

Result<DecodedSegment> SpoolImpl::load_segment(LaneId lane, const IndexEntry& entry) {
  auto stored = store_.read(entry.id);
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
