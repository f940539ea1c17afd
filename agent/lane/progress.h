// Progress: how far a lane's records have their final fate, as one number. Pure; one owner.
//
// Two things move it: the server's acknowledgement covers everything sent up to a sequence number,
// and a record that is not sent at all (quarantined, damaged) is settled by itself. A settled
// record lets the cursor pass only once all before it have their fate, so the cursor never
// overtakes a record in flight.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>

#include "agent/spool/types.h"

namespace penstock::lane {

class Progress {
 public:
  explicit Progress(spool::Seq cursor) : cursor_(cursor) {}

  // Everything sent up to `up_to` is safe at the server. Every record in between that was not sent
  // must have been settled before. True if the cursor moved.
  bool delivered(spool::Seq up_to) { return advance(up_to); }

  // The records first..last will not be sent. True if the cursor moved.
  bool settled(spool::Seq first, spool::Seq last) {
    if (last <= cursor_) return false;
    auto& end = settled_[first];
    end = std::max(end, last);
    return advance(cursor_);
  }

  // Whether this record has its fate already.
  bool decided(spool::Seq seq) const {
    if (seq <= cursor_) return true;
    const auto behind = settled_.upper_bound(seq);
    return behind != settled_.begin() && std::prev(behind)->second >= seq;
  }

  spool::Seq cursor() const { return cursor_; }

 private:
  bool advance(spool::Seq up_to) {
    const auto before = cursor_;
    cursor_ = std::max(cursor_, up_to);
    while (!settled_.empty() && settled_.begin()->first <= cursor_ + 1) {
      cursor_ = std::max(cursor_, settled_.begin()->second);
      settled_.erase(settled_.begin());
    }
    return cursor_ != before;
  }

  spool::Seq cursor_;
  std::map<spool::Seq, spool::Seq> settled_;  // first -> last, beyond the cursor
};

}  // namespace penstock::lane
