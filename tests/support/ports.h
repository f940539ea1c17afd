// Loopback ports that were free a moment ago. The kernel hands out ephemeral ports round-robin over
// a wide range, so another process taking the same one before we use it is unlikely; servers that
// can bind port 0 should do that. Any thread; throws std::runtime_error when there is none.
#pragma once

#include <cstdint>

namespace penstock::test {

uint16_t free_tcp_port();
uint16_t free_udp_port();

}  // namespace penstock::test
