// Small pieces of loopback TCP. Any thread.
#pragma once

#include <cstdint>

namespace penstock::test {

// A connected socket to 127.0.0.1:port, close-on-exec, or -1. The caller closes it.
int connect_loopback(uint16_t port);

// Whether somebody accepts connections on 127.0.0.1:port right now.
bool can_connect(uint16_t port);

// Datagrams the kernel has dropped so far at the sockets of this UDP port, any process's.
uint64_t kernel_drops(uint16_t port);

}  // namespace penstock::test
