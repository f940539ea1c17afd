#include "agent/spool/segment_index.h"

#include <algorithm>
#include <limits>

namespace penstock::spool {
namespace {

constexpr size_t kChunkEntries = 1024;  // so that eviction and rows have a size to work with
constexpr size_t kStretchCost = 64;     // in entries: each row changes a page of its own

}  // namespace

SegmentIndex::Chunk SegmentIndex::absent_chunk(const Absent& absent) {
  Chunk chunk;
  chunk.range = absent.range;
  chunk.generation = absent.generation;
  chunk.written = true;
  chunk.segments = std::max<uint64_t>(1, absent.segments);
  chunk.bytes = absent.bytes;
  return chunk;
}

SegmentIndex::Absent SegmentIndex::absent_of(const Chunk& chunk) {
  return {chunk.range, chunk.generation, chunk.segments, chunk.bytes};
}

const SegmentIndex::Chunks& SegmentIndex::chunks(LaneId lane) const {
  static const Chunks kNone;
  return lane < lanes_.size() ? lanes_[lane].chunks : kNone;
}

SegmentIndex::Chunks::const_iterator SegmentIndex::chunk_ending_at(const Chunks& chunks, Seq from) {
  return std::partition_point(chunks.begin(), chunks.end(),
                              [from](const Chunk& chunk) { return chunk.range.last < from; });
}

std::deque<IndexEntry>::const_iterator SegmentIndex::entry_ending_at(const Chunk& chunk, Seq from) {
  return std::partition_point(chunk.entries.begin(), chunk.entries.end(),
                              [from](const IndexEntry& entry) { return entry.last() < from; });
}

// Of absent chunks, as a whole; loaded ones are counted entry by entry.
void SegmentIndex::count(LaneId lane, const Chunk& chunk, bool added) {
  Live& live = live_[chunk.generation];
  const uint64_t sign = added ? 1 : -1;
  live.segments += sign * chunk.segments;
  live.bytes += sign * chunk.bytes;
  size_ += sign * chunk.segments;
  lanes_[lane].bytes += sign * cost(chunk.segments, chunk.bytes);
}

void SegmentIndex::count(LaneId lane, const IndexEntry& entry, bool is_unwritten, bool added) {
  Live& live = live_[entry.generation];
  const uint64_t sign = added ? 1 : -1;
  live.segments += sign;
  live.bytes += sign * entry.bytes;
  live.unwritten += is_unwritten ? sign : 0;
  fixed_ += is_unwritten ? sign : 0;
  size_ += sign;
  entries_ += sign;
  lanes_[lane].bytes += sign * cost(1, entry.bytes);
}

SegmentIndex::Chunk& SegmentIndex::new_chunk(LaneId lane, Seq first, uint32_t generation) {
  Chunk& chunk = lanes_[lane].chunks.emplace_back();
  chunk.range.first = first;
  chunk.generation = generation;
  chunk.loaded = true;
  return chunk;
}

bool SegmentIndex::add(LaneId lane, const IndexEntry& entry) {
  if (lane >= lanes_.size()) lanes_.resize(size_t{lane} + 1);
  Chunks& all = lanes_[lane].chunks;
  if (entry.count == 0 || (!all.empty() && entry.first <= all.back().range.last)) return false;
  const bool goes_on = !all.empty() && all.back().loaded && !all.back().written &&
                       all.back().generation == entry.generation &&
                       all.back().entries.size() < kChunkEntries;
  Chunk& chunk = goes_on ? all.back() : new_chunk(lane, entry.first, entry.generation);
  chunk.entries.push_back(entry);
  chunk.range.last = entry.last();
  chunk.used = ++clock_;
  count(lane, entry, true, true);
  return true;
}

bool SegmentIndex::add_absent(LaneId lane, const Absent& absent) {
  if (lane >= lanes_.size()) lanes_.resize(size_t{lane} + 1);
  Chunks& all = lanes_[lane].chunks;
  if (absent.range.empty() || (!all.empty() && absent.range.first <= all.back().range.last))
    return false;
  all.push_back(absent_chunk(absent));
  count(lane, all.back(), true);
  return true;
}

void SegmentIndex::leave_out(LaneId lane, SeqRange range) {
  if (lane >= lanes_.size()) lanes_.resize(size_t{lane} + 1);
  lanes_[lane].gone.add(range);
}

std::optional<SegmentIndex::Absent> SegmentIndex::absent_at(LaneId lane, Seq from) const {
  const Chunks& all = chunks(lane);
  const auto chunk = chunk_ending_at(all, from);
  if (chunk == all.end() || chunk->loaded) return std::nullopt;
  return absent_of(*chunk);
}

std::optional<SegmentIndex::Absent> SegmentIndex::absent_ended(LaneId lane, Seq cursor) const {
  const Chunks& all = chunks(lane);
  if (all.empty() || all.front().loaded || all.front().range.first > cursor) return std::nullopt;
  return absent_of(all.front());
}

std::optional<std::pair<LaneId, SegmentIndex::Absent>> SegmentIndex::absent_of(
    uint32_t generation) const {
  for (LaneId lane = 0; lane < lanes_.size(); ++lane) {
    for (const auto& chunk : lanes_[lane].chunks) {
      if (!chunk.loaded && chunk.generation == generation) return {{lane, absent_of(chunk)}};
    }
  }
  return std::nullopt;
}

std::optional<SegmentIndex::Absent> SegmentIndex::absent_behind(
    LaneId lane, Seq after, std::optional<uint32_t> generation) const {
  const Chunks& all = chunks(lane);
  auto chunk = chunk_ending_at(all, after + 1);
  while (chunk != all.end() && generation && chunk->generation != *generation) ++chunk;
  if (chunk == all.end() || chunk->loaded) return std::nullopt;
  return absent_of(*chunk);
}

void SegmentIndex::fill(LaneId lane, SeqRange range, const std::vector<IndexEntry>& entries,
                        bool stays) {
  if (lane >= lanes_.size()) return;
  Chunks& all = lanes_[lane].chunks;
  const auto at = chunk_ending_at(all, range.first) - all.begin();
  if (static_cast<size_t>(at) >= all.size() || all[static_cast<size_t>(at)].loaded) return;
  const Chunk whole = all[static_cast<size_t>(at)];
  count(lane, whole, false);
  range = {std::max(range.first, whole.range.first), std::min(range.last, whole.range.last)};
  Chunk found;
  found.generation = whole.generation;
  found.loaded = found.written = true;
  found.stays = stays;
  found.used = ++clock_;
  for (const auto& entry : entries) {
    if (entry.first < range.first || entry.last() > range.last) continue;
    if (lanes_[lane].gone.overlaps(entry.range())) continue;
    found.entries.push_back(entry);
    count(lane, entry, false, true);
    fixed_ += stays ? 1 : 0;
  }
  // What the rest holds is known in sum only.
  const SeqRange before{whole.range.first, range.first - 1};
  const SeqRange behind{range.last + 1, whole.range.last};
  const uint64_t known = std::min<uint64_t>(found.entries.size(), whole.segments);
  const uint64_t each = whole.bytes / whole.segments;
  const auto rest = [&](const SeqRange& part) {
    const double share = static_cast<double>(part.size()) /
                         static_cast<double>(std::max<uint64_t>(1, before.size() + behind.size()));
    const auto segments =
        static_cast<uint64_t>(static_cast<double>(whole.segments - known) * share);
    return Absent{part, whole.generation, std::max<uint64_t>(1, segments), segments * each};
  };
  std::vector<Chunk> parts;
  if (!before.empty()) parts.push_back(absent_chunk(rest(before)));
  if (!found.entries.empty()) {
    found.range = {found.entries.front().first, found.entries.back().last()};
    parts.push_back(std::move(found));
  }
  if (!behind.empty()) parts.push_back(absent_chunk(rest(behind)));
  for (const auto& part : parts) {
    if (!part.loaded) count(lane, part, true);
  }
  const auto place = all.erase(all.begin() + at);
  if (parts.empty()) return;  // libstdc++ would move elements onto themselves, which empties them
  all.insert(place, std::make_move_iterator(parts.begin()), std::make_move_iterator(parts.end()));
}

const IndexEntry* SegmentIndex::find(LaneId lane, Seq from) const {
  const Chunks& all = chunks(lane);
  const auto chunk = chunk_ending_at(all, from);
  if (chunk == all.end() || !chunk->loaded) return nullptr;
  chunk->used = ++clock_;
  return &*entry_ending_at(*chunk, from);
}

std::vector<IndexEntry> SegmentIndex::ended_by(LaneId lane, Seq cursor, size_t max_count,
                                               uint64_t max_bytes) const {
  std::vector<IndexEntry> ended;
  uint64_t bytes = 0;
  for (const auto& chunk : chunks(lane)) {
    if (!chunk.loaded) return ended;
    for (const auto& entry : chunk.entries) {
      if (entry.last() > cursor || ended.size() >= max_count) return ended;
      bytes += entry.bytes;
      if (!ended.empty() && bytes > max_bytes) return ended;
      ended.push_back(entry);
    }
  }
  return ended;
}

bool SegmentIndex::has_ended(LaneId lane, Seq cursor, size_t but) const {
  for (const auto& chunk : chunks(lane)) {
    if (!chunk.loaded) return chunk.range.first <= cursor;
    if (but < chunk.entries.size()) return chunk.entries[but].last() <= cursor;
    but -= chunk.entries.size();
  }
  return false;
}

std::vector<IndexEntry> SegmentIndex::overlapping(LaneId lane, SeqRange range) const {
  std::vector<IndexEntry> found;
  const Chunks& all = chunks(lane);
  if (range.empty()) return found;
  for (auto chunk = chunk_ending_at(all, range.first);
       chunk != all.end() && chunk->range.first <= range.last; ++chunk) {
    for (auto it = entry_ending_at(*chunk, range.first);
         it != chunk->entries.end() && it->first <= range.last; ++it) {
      found.push_back(*it);
    }
  }
  return found;
}

std::vector<IndexEntry> SegmentIndex::behind(LaneId lane, Seq after, size_t max_count,
                                             std::optional<uint32_t> generation) const {
  std::vector<IndexEntry> found;
  const Chunks& all = chunks(lane);
  for (auto chunk = chunk_ending_at(all, after + 1); chunk != all.end(); ++chunk) {
    if (generation && chunk->generation != *generation) continue;
    if (!chunk->loaded) return found;
    for (auto it = entry_ending_at(*chunk, after + 1); it != chunk->entries.end(); ++it) {
      if (found.size() >= max_count) return found;
      found.push_back(*it);
    }
  }
  return found;
}

std::vector<SeqRange> SegmentIndex::gaps(LaneId lane, SeqRange range) const {
  std::vector<SeqRange> found;
  const auto held = [&](const SeqRange& part) {
    if (part.first > range.first)
      found.push_back({range.first, std::min(part.first - 1, range.last)});
    range.first = std::max(range.first, part.last + 1);
  };
  const Chunks& all = chunks(lane);
  for (auto chunk = chunk_ending_at(all, range.first);
       chunk != all.end() && !range.empty() && chunk->range.first <= range.last; ++chunk) {
    if (!chunk->loaded) held(chunk->range);
    for (auto it = entry_ending_at(*chunk, range.first);
         it != chunk->entries.end() && it->first <= range.last; ++it) {
      held(it->range());
    }
  }
  if (!range.empty()) found.push_back(range);
  return found;
}

std::optional<SegmentIndex::Place> SegmentIndex::place_of(LaneId lane, Seq first) const {
  const Chunks& all = chunks(lane);
  const auto chunk = chunk_ending_at(all, first);
  if (chunk == all.end() || !chunk->loaded) return std::nullopt;
  const auto entry = entry_ending_at(*chunk, first);
  if (entry == chunk->entries.end() || entry->first != first) return std::nullopt;
  return Place{static_cast<size_t>(chunk - all.begin()),
               static_cast<size_t>(entry - chunk->entries.begin())};
}

void SegmentIndex::take_out(LaneId lane, Place place) {
  Chunks& all = lanes_[lane].chunks;
  const auto at = all.begin() + static_cast<ptrdiff_t>(place.chunk);
  auto& entries = at->entries;
  count(lane, entries[place.entry], !at->written, false);
  fixed_ -= at->stays ? 1 : 0;
  entries.erase(entries.begin() + static_cast<ptrdiff_t>(place.entry));
  if (entries.empty()) {
    all.erase(at);
  } else {
    at->range = {entries.front().first, entries.back().last()};
  }
}

void SegmentIndex::remove(LaneId lane, Seq first) {
  const auto place = place_of(lane, first);
  if (!place) return;
  Lane& one = lanes_[lane];
  one.gone.add(one.chunks[place->chunk].entries[place->entry].range());
  take_out(lane, *place);
  // Nobody asks rows for what is before the first chunk.
  (void)one.gone.take_up_to(one.chunks.empty() ? std::numeric_limits<Seq>::max()
                                               : one.chunks.front().range.first - 1);
}

void SegmentIndex::move(LaneId lane, const IndexEntry& entry) {
  const auto place = place_of(lane, entry.first);
  if (!place) return;
  // It goes between what comes before it in its chunk and what comes after.
  if (place->entry > 0) split(lane, *place);
  const size_t at = place->chunk + (place->entry > 0 ? 1 : 0);
  take_out(lane, {at, 0});
  put_moved(lane, at, entry);
}

// Its entry becomes the first of a chunk.
void SegmentIndex::split(LaneId lane, Place place) {
  Chunks& all = lanes_[lane].chunks;
  Chunk front = all[place.chunk];
  Chunk& back = all[place.chunk];
  const auto middle = static_cast<ptrdiff_t>(place.entry);
  front.entries.erase(front.entries.begin() + middle, front.entries.end());
  back.entries.erase(back.entries.begin(), back.entries.begin() + middle);
  front.range.last = front.entries.back().last();
  back.range.first = back.entries.front().first;
  all.insert(all.begin() + static_cast<ptrdiff_t>(place.chunk), std::move(front));
}

void SegmentIndex::put_moved(LaneId lane, size_t at, const IndexEntry& entry) {
  Chunks& all = lanes_[lane].chunks;
  count(lane, entry, false, true);
  Chunk* before = at > 0 ? &all[at - 1] : nullptr;
  if (before != nullptr && before->loaded && before->written && !before->stays &&
      before->generation == entry.generation && before->entries.size() < kChunkEntries) {
    before->entries.push_back(entry);
    before->range.last = entry.last();
    before->used = ++clock_;
    return;
  }
  Chunk chunk;
  chunk.range = entry.range();
  chunk.generation = entry.generation;
  chunk.loaded = chunk.written = true;
  chunk.used = ++clock_;
  chunk.entries.push_back(entry);
  all.insert(all.begin() + static_cast<ptrdiff_t>(at), std::move(chunk));
}

size_t SegmentIndex::unwritten(uint32_t generation) const { return live(generation).unwritten; }

size_t SegmentIndex::lanes_unwritten() const {
  return static_cast<size_t>(std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) {
    return !lane.chunks.empty() && !lane.chunks.back().written;
  }));
}

std::vector<SegmentIndex::Stretch> SegmentIndex::stretches(uint32_t generation,
                                                           size_t max_entries) const {
  std::vector<Stretch> found;
  size_t entries = 0;
  for (LaneId lane = 0; lane < lanes_.size(); ++lane) {
    const Chunks& all = lanes_[lane].chunks;
    auto chunk = all.end();  // what is not written is at the end of a lane
    while (chunk != all.begin() && !std::prev(chunk)->written) --chunk;
    for (; chunk != all.end(); ++chunk) {
      if (chunk->generation != generation) continue;
      if (entries >= max_entries) return found;
      found.push_back({lane, {chunk->entries.begin(), chunk->entries.end()}});
      entries += chunk->entries.size() + kStretchCost;
    }
  }
  return found;
}

// Some may have been taken out since.
void SegmentIndex::written(uint32_t generation, const std::vector<Stretch>& stretches) {
  for (const auto& stretch : stretches) {
    Chunks& all = lanes_[stretch.lane].chunks;
    auto chunk = all.begin() + (chunk_ending_at(all, stretch.entries.front().first) - all.begin());
    for (; chunk != all.end() && chunk->range.first <= stretch.entries.back().last(); ++chunk) {
      if (chunk->generation != generation || chunk->written) continue;
      chunk->written = true;
      live_[generation].unwritten -= chunk->entries.size();
      fixed_ -= chunk->entries.size();
    }
  }
}

// Of the chunks that were not used since then there are enough. 0: none may go.
uint64_t SegmentIndex::last_use_to_evict() const {
  std::vector<std::pair<uint64_t, size_t>> candidates;  // last use, entries
  for (const auto& lane : lanes_) {
    for (const auto& chunk : lane.chunks) {
      if (may_evict(chunk)) candidates.emplace_back(chunk.used, chunk.entries.size());
    }
  }
  std::sort(candidates.begin(), candidates.end());
  const size_t wanted = entries_ - fixed_ - (max_entries_ - max_entries_ / 8);
  uint64_t last_use = 0;
  size_t found = 0;
  for (const auto& [used, entries] : candidates) {
    if (found >= wanted) break;
    last_use = used;
    found += entries;
  }
  return last_use;
}

void SegmentIndex::evict() {
  if (entries_ - fixed_ <= max_entries_) return;
  const uint64_t last_use = last_use_to_evict();
  if (last_use == 0) return;
  for (auto& lane : lanes_) {
    if (evict_from(lane.chunks, last_use)) join_absent(lane.chunks);
  }
}

bool SegmentIndex::evict_from(Chunks& chunks, uint64_t last_use) {
  bool any = false;
  for (auto& chunk : chunks) {
    if (!may_evict(chunk) || chunk.used > last_use) continue;
    entries_ -= chunk.entries.size();
    chunk.segments = chunk.entries.size();
    for (const auto& entry : chunk.entries) chunk.bytes += entry.bytes;
    chunk.entries = {};
    chunk.loaded = false;
    any = true;
  }
  return any;
}

void SegmentIndex::join_absent(Chunks& chunks) {
  Chunks joined;
  for (auto& chunk : chunks) {
    Chunk* before = joined.empty() ? nullptr : &joined.back();
    const bool continues = before != nullptr && !before->loaded && !chunk.loaded &&
                           before->generation == chunk.generation;
    if (!continues) {
      joined.push_back(std::move(chunk));
      continue;
    }
    before->range.last = chunk.range.last;
    before->segments += chunk.segments;
    before->bytes += chunk.bytes;
  }
  chunks = std::move(joined);
}

SegmentIndex::Live SegmentIndex::live(uint32_t generation) const {
  const auto found = live_.find(generation);
  return found != live_.end() ? found->second : Live{};
}

std::vector<std::pair<LaneId, IndexEntry>> SegmentIndex::some_of(
    uint32_t generation, size_t max_count,
    const std::function<bool(const IndexEntry&)>& but) const {
  std::vector<std::pair<LaneId, IndexEntry>> found;
  for (LaneId lane = 0; lane < lanes_.size(); ++lane) {
    for (const auto& chunk : lanes_[lane].chunks) {
      // Newer generations hold later records, but for what was moved there.
      if (chunk.generation != generation) continue;
      for (const auto& entry : chunk.entries) {
        if (found.size() >= max_count) return found;
        if (!but || !but(entry)) found.emplace_back(lane, entry);
      }
    }
  }
  return found;
}

}  // namespace penstock::spool
