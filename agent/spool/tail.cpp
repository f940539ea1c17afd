#include "agent/spool/tail.h"

namespace penstock::spool {
namespace {

size_t cost(const Segment& segment) { return segment.run().size() + sizeof(Segment) + 128; }

}  // namespace

void Tail::add(SegmentPtr segment) {
  const size_t size = cost(*segment);
  if (size > max_bytes_) return;
  while (bytes_ + size > max_bytes_) {
    drop(by_key_.find({by_age_.front()->lane(), by_age_.front()->first()}));
  }
  const Key key{segment->lane(), segment->first()};
  by_key_[key] = by_age_.insert(by_age_.end(), std::move(segment));
  bytes_ += size;
}

SegmentPtr Tail::find(LaneId lane, Seq first) const {
  const auto it = by_key_.find({lane, first});
  return it == by_key_.end() ? nullptr : *it->second;
}

void Tail::release(LaneId lane, Seq cursor) {
  for (auto it = by_key_.lower_bound({lane, 0}); it != by_key_.end() && it->first.first == lane;) {
    if ((*it->second)->last() > cursor) return;
    drop(it++);
  }
}

void Tail::drop(std::map<Key, Age::iterator>::iterator it) {
  bytes_ -= cost(**it->second);
  by_age_.erase(it->second);
  by_key_.erase(it);
}

}  // namespace penstock::spool
