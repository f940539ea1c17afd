// When to acknowledge: cumulative, on a count OR a timer, so that a short tail never waits for
// requests that do not come.
//
// Pure; one stream, one owner. Offsets handed to durable() rise; what take_due() returns rises
// strictly and never passes what is durable. Wire facts: an ack for k covers every request with
// offset <= k.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "agent/base/clock.h"

namespace penstock::local {

struct AckRules {
  Millis interval{5};    // at the latest this long after a request became durable
  int64_t every = 1000;  // or as soon as this many requests are durable and unacknowledged
  Millis slow{0};        // fault: not before this long after it became durable; replaces both rules
  bool hold = false;     // fault: no acknowledgements at all
};

class AckSchedule {
 public:
  // Every request up to `offset` is durable.
  void durable(int64_t offset, MonoTime now);

  // The offset to acknowledge now, if one is due; it then counts as acknowledged. `last` waives
  // interval and count (end of the stream), not the faults.
  std::optional<int64_t> take_due(MonoTime now, const AckRules& rules, bool last);

  // When take_due() will next have something, without further calls to durable().
  std::optional<MonoTime> next(const AckRules& rules) const;

  int64_t acked() const { return acked_; }  // highest acknowledged offset, -1 for none
  bool idle() const { return steps_.empty(); }

 private:
  struct Step {
    int64_t up_to;
    MonoTime since;
  };
  std::deque<Step> steps_;  // durable, unacknowledged
  int64_t acked_ = -1;
};

}  // namespace penstock::local
