#include "agent/spool/commit_queue.h"

#include <algorithm>
#include <iterator>

namespace penstock::spool {

bool CommitQueue::push(std::vector<Pending>&& records, MonoTime now) {
  size_t size = 0;
  for (const auto& record : records) size += cost(record);
  if (!empty() && size > room()) return false;
  if (records.empty()) return true;
  for (auto& record : records) {
    const MonoTime at = now + record.commit_within;
    while (!deadlines_.empty() && deadlines_.back().at >= at) deadlines_.pop_back();
    deadlines_.push_back({at, pushed_++});
    record_bytes_ += record.body.size();
    if (record.lane >= by_lane_.size()) by_lane_.resize(size_t{record.lane} + 1);
    by_lane_[record.lane] += cost(record);
  }
  calls_.push_back(std::move(records));
  bytes_ += size;
  return true;
}

std::vector<const Pending*> CommitQueue::prefix(size_t max_bytes) const {
  std::vector<const Pending*> taken;
  size_t size = 0;
  size_t from = gone_;
  for (const auto& call : calls_) {
    for (auto record = call.begin() + static_cast<ptrdiff_t>(from); record != call.end();
         ++record) {
      size += record->body.size();
      if (!taken.empty() && size > max_bytes) return taken;
      taken.push_back(&*record);
    }
    from = 0;
  }
  return taken;
}

CommitQueue::Popped CommitQueue::pop(size_t count) {
  Popped popped;
  popped_ += count;
  while (count > 0) {
    auto& call = calls_.front();
    const auto first = call.begin() + static_cast<ptrdiff_t>(gone_);
    const size_t here = std::min(count, call.size() - gone_);
    for (auto record = first; record != first + static_cast<ptrdiff_t>(here); ++record)
      let_go(*record);
    count -= here;
    gone_ += here;
    if (gone_ == call.size()) {
      popped.push_back(std::move(call));
      calls_.pop_front();
      gone_ = 0;
    } else {
      popped.emplace_back(std::make_move_iterator(first),
                          std::make_move_iterator(first + static_cast<ptrdiff_t>(here)));
    }
  }
  while (!deadlines_.empty() && deadlines_.front().index < popped_) deadlines_.pop_front();
  return popped;
}

void CommitQueue::let_go(const Pending& record) {
  bytes_ -= cost(record);
  by_lane_[record.lane] -= cost(record);
  record_bytes_ -= record.body.size();
}

std::optional<MonoTime> CommitQueue::deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.front().at;
}

}  // namespace penstock::spool
