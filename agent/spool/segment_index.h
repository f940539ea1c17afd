// Where the records of every lane are: one 32-byte entry per live segment, in memory.
//
// Guarded by its owner's lock. Rebuilt at open from the columns of table `seg`. Bounding it (a
// window per lane) is a change inside this class.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent/spool/types.h"

namespace penstock::spool {

struct IndexEntry {
  int64_t id = 0;  // key in table `seg` of its generation
  Seq first = 0;
  uint32_t count = 0;
  uint32_t bytes = 0;  // stored
  uint32_t generation = 1;
  Seq last() const { return first + count - 1; }
};

class SegmentIndex {
 public:
  // False and no change when `entry` does not come after the lane's last one.
  bool add(LaneId lane, const IndexEntry& entry);
  // The first segment that ends at or after `from`; null when there is none. Valid until the next
  // change.
  const IndexEntry* find(LaneId lane, Seq from) const;
  // The oldest segments that end at or before `cursor`, at least one, no more than the limits
  // allow.
  std::vector<IndexEntry> ended_by(LaneId lane, Seq cursor, size_t max_count,
                                   uint64_t max_bytes) const;
  std::vector<IndexEntry> overlapping(LaneId lane, SeqRange range) const;
  // The first `max_count` segments that end behind `after`, of one generation if one is named.
  std::vector<IndexEntry> behind(LaneId lane, Seq after, size_t max_count,
                                 std::optional<uint32_t> generation = {}) const;
  // What of `range` no segment holds, ascending.
  std::vector<SeqRange> gaps(LaneId lane, SeqRange range) const;
  // The segment of `lane` that begins at `first`.
  void remove(LaneId lane, Seq first);
  // Its bytes are elsewhere now.
  void move(LaneId lane, const IndexEntry& entry);
  size_t size() const { return size_; }
  // Stored bytes of the lane's segments in all generations, and of what the database adds to each,
  // about.
  uint64_t bytes(LaneId lane) const { return lane < bytes_.size() ? bytes_[lane] : 0; }

  struct Live {
    size_t segments = 0;
    uint64_t bytes = 0;
  };
  Live live(uint32_t generation) const;
  // Some segments of a generation with their lanes, at most `max_count`.
  std::vector<std::pair<LaneId, IndexEntry>> some_of(uint32_t generation, size_t max_count) const;

 private:
  using Entries = std::deque<IndexEntry>;
  const Entries* entries(LaneId lane) const;
  static uint64_t cost(const IndexEntry& entry) { return uint64_t{entry.bytes} + 64; }
  Entries::const_iterator first_ending_at(const Entries& entries, Seq from) const;
  void count(LaneId lane, const IndexEntry& entry, bool added);

  std::vector<Entries> lanes_;   // by lane id, which are dense
  std::vector<uint64_t> bytes_;  // by lane id
  std::map<uint32_t, Live> live_;
  size_t size_ = 0;
};

}  // namespace penstock::spool
