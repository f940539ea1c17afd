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
  count(lane, entry, true);
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

std::vector<IndexEntry> SegmentIndex::behind(LaneId lane, Seq after, size_t max_count,
                                             std::optional<uint32_t> generation) const {
  std::vector<IndexEntry> found;
  const Entries* all = entries(lane);
  if (all == nullptr) return found;
  for (auto it = first_ending_at(*all, after + 1); it != all->end() && found.size() < max_count;
       ++it) {
    if (!generation || it->generation == *generation) found.push_back(*it);
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

void SegmentIndex::remove(LaneId lane, Seq first) {
  if (lane >= lanes_.size()) return;
  Entries& all = lanes_[lane];
  const auto it = first_ending_at(all, first);
  if (it == all.end() || it->first != first) return;
  count(lane, *it, false);
  all.erase(it);
}

void SegmentIndex::move(LaneId lane, const IndexEntry& entry) {
  if (lane >= lanes_.size()) return;
  Entries& all = lanes_[lane];
  const auto it = first_ending_at(all, entry.first);
  if (it == all.end() || it->first != entry.first) return;
  count(lane, *it, false);
  all[static_cast<size_t>(it - all.begin())] = entry;
  count(lane, entry, true);
}

void SegmentIndex::count(LaneId lane, const IndexEntry& entry, bool added) {
  bytes_[lane] += added ? cost(entry) : -cost(entry);
  Live& live = live_[entry.generation];
  size_ += added ? 1 : -1;
  live.segments += added ? 1 : -1;
  live.bytes += added ? entry.bytes : -uint64_t{entry.bytes};
}

SegmentIndex::Live SegmentIndex::live(uint32_t generation) const {
  const auto found = live_.find(generation);
  return found != live_.end() ? found->second : Live{};
}

std::vector<std::pair<LaneId, IndexEntry>> SegmentIndex::some_of(uint32_t generation,
                                                                 size_t max_count) const {
  std::vector<std::pair<LaneId, IndexEntry>> found;
  for (LaneId lane = 0; lane < lanes_.size(); ++lane) {
    for (const auto& entry : lanes_[lane]) {
      if (found.size() >= max_count) return found;
      // Newer generations hold later records, but for what was moved there.
      if (entry.generation == generation) found.emplace_back(lane, entry);
    }
  }
  return found;
}

}  // namespace penstock::spool
