// Frames on their way to the host, in order, until the host has taken them.
//
// One thread. The caller stops reading while anything is left in here: that bounds it to the frames
// of one read.
#pragma once

#include <cstddef>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/serial/framing.h"

namespace penstock::serial {

class Outbox {
 public:
  explicit Outbox(sdk::Host host) : host_(host) {}

  // Where framing appends; do not touch what is there already.
  std::vector<Frame>& frames() { return frames_; }
  size_t waiting() const { return frames_.size() - done_; }

  // Emits what is waiting, with an empty topic. OK: nothing waits any more. FULL, CLOSED: waiting()
  // frames were not taken and stay, in order. `taken` grows by the frames the host took.
  penstock_emit_status flush(uint64_t& taken);

 private:
  sdk::Host host_;
  std::vector<Frame> frames_;
  size_t done_ = 0;  // frames_[0, done_) are taken
};

}  // namespace penstock::serial
