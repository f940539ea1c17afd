// What the configuration says about one UDP input, as values. Read once, in create.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/udp/address.h"
#include "plugins/udp/membership.h"

namespace penstock::udp {

struct UdpSettings {
  Endpoint listen;
  AllowList allow;
  bool split_lines = false;
  size_t max_datagram_bytes = 8192;
  uint64_t receive_buffer_bytes = 4 << 20;
  size_t ack_bytes = 0;  // leading bytes of a datagram that answer it once it is safe; 0: no answer
  MulticastSettings multicast;
  // Not configurable; tests shorten it: how often groups are joined where links cannot be watched.
  std::chrono::milliseconds blind_rejoin{60'000};
};

// Throws std::invalid_argument with the key, what is wrong and what to write.
UdpSettings read_settings(const sdk::Options& options);

// The same for what a person wrote: port 0, which lets tests have any free one, is refused too.
UdpSettings read_configured(const sdk::Options& options);

}  // namespace penstock::udp
