// The acknowledgements of one session that wait for the durable watermark, in the order Paho wrote
// them. Pure; owned by the gate's session, one thread. First in, first out also where a later stamp
// is already durable: MQTT asks for the acknowledgements in the order of the messages
// [MQTT-4.6.0-2].
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "plugins/mqtt/session_ledger.h"

namespace penstock::mqtt {

class AckQueue {
 public:
  void push(uint64_t stamp, std::span<const uint8_t> frame) {
    held_.push_back({stamp, {frame.begin(), frame.end()}});
  }

  // Appends to `out` every frame from the front whose stamp is at most `durable`; returns how many.
  size_t release(uint64_t durable, std::vector<uint8_t>& out) {
    size_t released = 0;
    while (!held_.empty() && held_.front().stamp <= durable && held_.front().stamp != kNever) {
      const auto& frame = held_.front().frame;
      out.insert(out.end(), frame.begin(), frame.end());
      held_.pop_front();
      ++released;
    }
    return released;
  }

  // What stands at the front may never go out: the session has nothing more to say.
  bool blocked_for_good() const { return !held_.empty() && held_.front().stamp == kNever; }
  bool empty() const { return held_.empty(); }
  size_t size() const { return held_.size(); }

 private:
  struct Held {
    uint64_t stamp;
    std::vector<uint8_t> frame;
  };
  std::deque<Held> held_;
};

}  // namespace penstock::mqtt
