#include "agent/spool/segment_index.h"

#include <algorithm>

namespace penstock::spool {

const SegmentIndex::Entries* SegmentIndex::entries(LaneId lane) const {
  return lane < lanes_.size() ? &lanes_[lane] : nullptr;
}

SegmentIndex::Entries::const_iterator SegmentIndex::first_ending_at(const Entries& entries,
                                                                    Seq from) const {
  return std::partition_point(entries.begin(), entries.end(),
                              [from](const IndexEntry& entry) { return entry.last() < from; });
}

bool SegmentIndex::add(LaneId lane, const IndexEntry& entry) {
  if (lane >= lanes_.size()) lanes_.resize(size_t{lane} + 1);
  Entries& entries = lanes_[lane];
  if (entry.count == 0 || (!entries.empty() && entry.first <= entries.back().last())) return false;
  entries.push_back(entry);
  bytes_.resize(lanes_.size());
  bytes_[lane] += cost(entry);
  ++size_;
  return true;
}

const IndexEntry* SegmentIndex::find(LaneId lane, Seq from) const {
  const Entries* all = entries(lane);
  if (all == nullptr) return nullptr;
  const auto it = first_ending_at(*all, from);
  return it == all->end() ? nullptr : &*it;
}

std::vector<IndexEntry> SegmentIndex::ended_by(LaneId lane, Seq cursor, size_t max_count,
                                               uint64_t max_bytes) const {
  std::vector<IndexEntry> ended;
  const Entries* all = entries(lane);
  if (all == nullptr) return ended;
  uint64_t bytes = 0;
  for (const auto& entry : *all) {
    if (entry.last() > cursor || ended.size() >= max_count) break;
    bytes += entry.bytes;
    if (!ended.empty() && bytes > max_bytes) break;
    ended.push_back(entry);
  }
  return ended;
}

std::vector<IndexEntry> SegmentIndex::overlapping(LaneId lane, SeqRange range) const {
  std::vector<IndexEntry> found;
  const Entries* all = entries(lane);
  if (all == nullptr || range.empty()) return found;
  for (auto it = first_ending_at(*all, range.first); it != all->end() && it->first <= range.last;
       ++it) {
    found.push_back(*it);
  }
  return found;
}

std::vector<SeqRange> SegmentIndex::gaps(LaneId lane, SeqRange range) const {
  std::vector<SeqRange> found;
  for (const auto& entry : overlapping(lane, range)) {
    if (entry.first > range.first) found.push_back({range.first, entry.first - 1});
    range.first = entry.last() + 1;
  }
  if (!range.empty()) found.push_back(range);
  return found;
}

void SegmentIndex::remove(LaneId lane, int64_t id) {
  if (lane >= lanes_.size()) return;
  Entries& all = lanes_[lane];
  const auto it =
      std::lower_bound(all.begin(), all.end(), id,
                       [](const IndexEntry& entry, int64_t key) { return entry.id < key; });
  if (it == all.end() || it->id != id) return;
  bytes_[lane] -= cost(*it);
  all.erase(it);
  --size_;
}

}  // namespace penstock::spool
