// Records accepted but not yet committed, in arrival order over all lanes.
//
// Guarded by its owner's lock. Commits take a prefix and leave it here until the disk has it, so a
// commit that finds no room loses nothing. Pointers from prefix() stay valid until pop(): only the
// owner's one thread pops.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "agent/spool/types.h"

namespace penstock::spool {

class CommitQueue {
 public:
  explicit CommitQueue(size_t max_bytes) : max_bytes_(max_bytes) {}

  // What a record takes of the bound: its text and a round figure for the rest.
  static size_t cost(const Pending& record) {
    return record.body.size() + record.refusal.size() + 160;
  }

  // All or nothing; always taken when the queue is empty.
  bool push(std::vector<Pending>&& records, MonoTime now);
  size_t room() const { return bytes_ < max_bytes_ ? max_bytes_ - bytes_ : 0; }

  // The oldest records whose bodies fit `max_bytes`, at least one.
  std::vector<const Pending*> prefix(size_t max_bytes) const;
  // The oldest `count`, at most all. They are handed over to be destroyed where nobody waits.
  using Popped = std::vector<std::vector<Pending>>;
  Popped pop(size_t count);

  bool empty() const { return calls_.empty(); }
  size_t bytes() const { return bytes_; }                // cost of all
  size_t record_bytes() const { return record_bytes_; }  // bodies only
  uint64_t bytes_of(LaneId lane) const { return lane < by_lane_.size() ? by_lane_[lane] : 0; }
  // When the first of the waiting records has waited for its commit_within.
  std::optional<MonoTime> deadline() const;
  uint64_t pushed() const { return pushed_; }  // since the start
  uint64_t popped() const { return popped_; }

 private:
  struct Deadline {
    MonoTime at;
    uint64_t index;  // of its record, counted since the start
  };
  void let_go(const Pending& record);

  size_t max_bytes_;
  size_t bytes_ = 0;
  size_t record_bytes_ = 0;
  uint64_t pushed_ = 0;
  uint64_t popped_ = 0;
  std::vector<uint64_t> by_lane_;           // cost, by lane id
  std::deque<std::vector<Pending>> calls_;  // of push, as they came; none is empty
  size_t gone_ = 0;                         // records of the first that were popped
  std::deque<Deadline> deadlines_;  // ascending; each the least of all records from its own on
};

}  // namespace penstock::spool
