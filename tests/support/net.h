// Small pieces of loopback TCP. Any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace penstock::test {

// A connected socket to 127.0.0.1:port, close-on-exec, or -1. The caller closes it.
int connect_loopback(uint16_t port);

// Whether somebody accepts connections on 127.0.0.1:port right now.
bool can_connect(uint16_t port);

// Sockets of this process that are connected to this port, of whatever host; they stay their
// owners'.
std::vector<int> own_connections_to(uint16_t port);

// Listens at a free port of 127.0.0.1, close-on-exec. The caller closes `fd`. Throws
// std::runtime_error when there is none.
struct LoopbackListener {
  int fd = -1;
  uint16_t port = 0;
};
LoopbackListener listen_loopback();

// Datagrams the kernel has dropped so far at the sockets of this UDP port, any process's.
uint64_t kernel_drops(uint16_t port);

}  // namespace penstock::test
