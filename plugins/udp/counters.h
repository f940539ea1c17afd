// What a UDP input counts. Written by its own thread, read by any; each number is exact, together
// they are only nearly of one moment. Every datagram the kernel handed over is in exactly one of:
// records (split none), refused_source, oversize, empty, waiting, lost_at_stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::udp {

struct Counters {
  std::atomic<uint64_t> datagrams{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> records{0};
  std::atomic<uint64_t> refused_source{0};
  std::atomic<uint64_t> oversize{0};
  std::atomic<uint64_t> empty{0};
  std::atomic<uint64_t> stalls_on_full{0};
  std::atomic<uint64_t> lost_at_stop{0};
  std::atomic<uint64_t> acks{0};
  std::atomic<uint64_t> acks_not_sent{0};
  std::atomic<uint64_t> joins{0};

  std::vector<sdk::Stat> stats(uint64_t kernel_drops) const;
};

}  // namespace penstock::udp
