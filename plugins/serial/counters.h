// What a serial input counts. Written by its own thread, read by any; each number is exact,
// together they are only nearly of one moment.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/serial/framing.h"

namespace penstock::serial {

struct Counters {
  std::atomic<uint64_t> received_bytes{0};
  std::atomic<uint64_t> frames{0};
  std::atomic<uint64_t> resyncs{0};
  std::atomic<uint64_t> oversize_frames{0};
  std::atomic<uint64_t> partial_discarded{0};
  std::atomic<uint64_t> checksum_errors{0};
  std::atomic<uint64_t> reopens{0};
  std::atomic<uint64_t> stalls_on_full{0};
  std::atomic<uint64_t> lost_at_stop{0};
  std::atomic<uint64_t> line_overruns{0};
  std::atomic<uint64_t> line_errors{0};
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> replies{0};
  std::atomic<uint64_t> request_timeouts{0};

  void take(const FramingCounts& counts);
  std::vector<sdk::Stat> stats() const;
};

}  // namespace penstock::serial
