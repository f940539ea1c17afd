// Where the records of every lane are: entries of 32 bytes for the segments that are at work, and
// for long stretches of backlog only their range.
//
// A lane is a row of chunks, ascending: loaded ones with an entry for every segment, absent ones
// that stand for segments whose entries are in `seg_index` of their generation. What is beyond
// limit() becomes absent again, the least recently used first; entries that are in no row yet
// stay beside it. So memory is bounded however large the backlog is, and a start reads no entries
// at all.
//
// Rows tell what was there when they were written. What was taken out since is remembered as long
// as an absent chunk may tell of it, so it does not come back.
//
// Guarded by its owner's lock; only the spool thread fills and evicts, and it asks absent_at()
// before it relies on find() and its like: these stop at an absent chunk.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent/spool/index_entry.h"
#include "agent/spool/index_row.h"
#include "agent/spool/seq_ranges.h"

namespace penstock::spool {

class SegmentIndex {
 public:
  void limit(size_t max_entries) { max_entries_ = max_entries; }

  // A segment that is in no row yet. False and no change when `entry` does not come after the
  // lane's last one.
  bool add(LaneId lane, const IndexEntry& entry);
  // Some segments of one generation that are in rows of it; `segments` and `bytes` may be
  // estimates. Same result.
  struct Absent {
    SeqRange range;
    uint32_t generation = 1;
    uint64_t segments = 1;
    uint64_t bytes = 0;
  };
  bool add_absent(LaneId lane, const Absent& absent);
  // Rows may tell of segments in `range` that are not to be found.
  void leave_out(LaneId lane, SeqRange range);

  // What must be filled before the segment that holds or follows `from` can be told.
  std::optional<Absent> absent_at(LaneId lane, Seq from) const;
  // The lane's oldest segments may end at or before `cursor`, and it is not known which.
  std::optional<Absent> absent_ended(LaneId lane, Seq cursor) const;
  // Some lane's absent segments of a generation.
  std::optional<std::pair<LaneId, Absent>> absent_of(uint32_t generation) const;
  // The first absent segments of a lane behind `after`, of one generation if one is named, unless
  // known ones come before.
  std::optional<Absent> absent_behind(LaneId lane, Seq after,
                                      std::optional<uint32_t> generation) const;
  // In `range`, a part of an absent chunk, there are exactly `entries`; those that are not wholly
  // in it are ignored. `stays`: no row tells it again, so it is not evicted.
  void fill(LaneId lane, SeqRange range, const std::vector<IndexEntry>& entries,
            bool stays = false);

  // The first segment that ends at or after `from`; null when there is none, or it is absent.
  // Valid until the next change.
  const IndexEntry* find(LaneId lane, Seq from) const;
  // The oldest segments that end at or before `cursor`, at least one, no more than the limits
  // allow.
  std::vector<IndexEntry> ended_by(LaneId lane, Seq cursor, size_t max_count,
                                   uint64_t max_bytes) const;
  // Does the lane begin with a segment, known or absent, that begins at or before `cursor`? `but`
  // so many that are known.
  bool has_ended(LaneId lane, Seq cursor, size_t but) const;
  std::vector<IndexEntry> overlapping(LaneId lane, SeqRange range) const;
  // The first `max_count` segments that end behind `after`, of one generation if one is named.
  std::vector<IndexEntry> behind(LaneId lane, Seq after, size_t max_count,
                                 std::optional<uint32_t> generation = {}) const;
  // What of `range` no segment holds, ascending.
  std::vector<SeqRange> gaps(LaneId lane, SeqRange range) const;
  // The segment of `lane` that begins at `first`.
  void remove(LaneId lane, Seq first);
  // Its bytes are elsewhere now, and a row there says so.
  void move(LaneId lane, const IndexEntry& entry);

  // Entries of `generation` that are in no row; a row is to be made of each stretch of them.
  size_t unwritten(uint32_t generation) const;
  size_t lanes_unwritten() const;  // that have any, of whatever generation
  struct Stretch {
    LaneId lane;
    std::vector<IndexEntry> entries;
  };
  // The oldest of each lane first; no more than about `max_entries`, of which a stretch costs some.
  std::vector<Stretch> stretches(uint32_t generation, size_t max_entries) const;
  // What stretches() gave is in rows now, on disk.
  void written(uint32_t generation, const std::vector<Stretch>& stretches);
  // Once there are more than the limit of those that may go, makes the least used absent down to
  // seven eighths of it; call now and then.
  void evict();

  size_t size() const { return size_; }        // segments, about
  size_t entries() const { return entries_; }  // of them in memory
  // Stored bytes of the lane's segments in all generations, and of what the database adds to each,
  // about.
  uint64_t bytes(LaneId lane) const { return lane < lanes_.size() ? lanes_[lane].bytes : 0; }

  struct Live {
    size_t segments = 0;
    uint64_t bytes = 0;
    size_t unwritten = 0;  // entries in no row
  };
  Live live(uint32_t generation) const;
  // Some known segments of a generation with their lanes, at most `max_count`, `but` those.
  std::vector<std::pair<LaneId, IndexEntry>> some_of(
      uint32_t generation, size_t max_count,
      const std::function<bool(const IndexEntry&)>& but = {}) const;

 private:
  struct Chunk {
    SeqRange range;
    uint32_t generation = 1;
    bool loaded = false;
    bool written = false;  // its entries are in rows
    bool stays = false;    // is not evicted
    uint64_t segments = 0;
    uint64_t bytes = 0;
    mutable uint64_t used = 0;
    std::deque<IndexEntry> entries;
  };
  using Chunks = std::deque<Chunk>;
  struct Lane {
    Chunks chunks;
    uint64_t bytes = 0;
    SeqRanges gone;  // whole segments that rows of absent chunks may still tell of
  };
  static uint64_t cost(uint64_t segments, uint64_t bytes) { return bytes + 64 * segments; }
  struct Place {  // of an entry
    size_t chunk;
    size_t entry;
  };
  static Chunk absent_chunk(const Absent& absent);
  static Absent absent_of(const Chunk& chunk);
  const Chunks& chunks(LaneId lane) const;
  static Chunks::const_iterator chunk_ending_at(const Chunks& chunks, Seq from);
  static std::deque<IndexEntry>::const_iterator entry_ending_at(const Chunk& chunk, Seq from);
  Chunk& new_chunk(LaneId lane, Seq first, uint32_t generation);
  std::optional<Place> place_of(LaneId lane, Seq first) const;
  void count(LaneId lane, const Chunk& chunk, bool added);
  void count(LaneId lane, const IndexEntry& entry, bool is_unwritten, bool added);
  void take_out(LaneId lane, Place place);
  void split(LaneId lane, Place place);
  void put_moved(LaneId lane, size_t at, const IndexEntry& entry);
  bool may_evict(const Chunk& chunk) const {
    // The last one used stays, or what was just filled for a reader could be gone before it looks.
    return chunk.loaded && chunk.written && !chunk.stays && chunk.used != clock_;
  }
  uint64_t last_use_to_evict() const;
  bool evict_from(Chunks& chunks, uint64_t last_use);
  static void join_absent(Chunks& chunks);

  size_t max_entries_ = SIZE_MAX;
  std::vector<Lane> lanes_;  // by lane id, which are dense
  std::map<uint32_t, Live> live_;
  size_t size_ = 0;
  size_t entries_ = 0;
  size_t fixed_ = 0;  // of them in no row, or staying for another reason
  mutable uint64_t clock_ = 0;
};

}  // namespace penstock::spool
