#include "agent/spool/commit_queue.h"

namespace penstock::spool {

bool CommitQueue::push(std::vector<Pending>&& records, MonoTime now) {
  size_t size = 0;
  for (const auto& record : records) size += cost(record);
  if (!records_.empty() && size > room()) return false;
  for (auto& record : records) {
    const MonoTime at = now + record.commit_within;
    while (!deadlines_.empty() && deadlines_.back().at >= at) deadlines_.pop_back();
    deadlines_.push_back({at, pushed()});
    record_bytes_ += record.body.size();
    if (record.lane >= by_lane_.size()) by_lane_.resize(size_t{record.lane} + 1);
    by_lane_[record.lane] += cost(record);
    records_.push_back(std::move(record));
  }
  bytes_ += size;
  return true;
}

std::vector<const Pending*> CommitQueue::prefix(size_t max_bytes) const {
  std::vector<const Pending*> taken;
  size_t size = 0;
  for (const auto& record : records_) {
    size += record.body.size();
    if (!taken.empty() && size > max_bytes) break;
    taken.push_back(&record);
  }
  return taken;
}

void CommitQueue::pop(size_t count) {
  for (; count > 0; --count) {
    bytes_ -= cost(records_.front());
    by_lane_[records_.front().lane] -= cost(records_.front());
    record_bytes_ -= records_.front().body.size();
    records_.pop_front();
    ++popped_;
  }
  while (!deadlines_.empty() && deadlines_.front().index < popped_) deadlines_.pop_front();
}

std::optional<MonoTime> CommitQueue::deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.front().at;
}

}  // namespace penstock::spool
