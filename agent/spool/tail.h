// The memory tail: the segments committed last, so that a lane that keeps up never reads the disk.
//
// Guarded by its owner's lock. Bounded in bytes of records; the oldest segment of any lane goes
// first. A segment larger than the bound is not kept.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <utility>

#include "agent/spool/types.h"

namespace penstock::spool {

class Tail {
 public:
  explicit Tail(size_t max_bytes) : max_bytes_(max_bytes) {}

  void add(SegmentPtr segment);
  // The segment of `lane` that begins at `first`; null when it is not here.
  SegmentPtr find(LaneId lane, Seq first) const;
  // Lets go of the segments of `lane` that end at or before `cursor`.
  void release(LaneId lane, Seq cursor);
  size_t bytes() const { return bytes_; }

 private:
  using Key = std::pair<LaneId, Seq>;  // lane, first
  using Age = std::list<SegmentPtr>;   // oldest first
  void drop(std::map<Key, Age::iterator>::iterator it);

  size_t max_bytes_;
  size_t bytes_ = 0;
  Age by_age_;
  std::map<Key, Age::iterator> by_key_;
};

}  // namespace penstock::spool
