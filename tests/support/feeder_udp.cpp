#include "tests/support/feeder_udp.h"

#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/wall_clock.h"

namespace penstock::test {

// The socket is not connected: a connected one would report the peer's absence instead of sending.
UdpFeeder::UdpFeeder(uint16_t port, Feed feed)
    : port_(port),
      feed_(std::move(feed)),
      socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
      pace_({feed_.per_second}, [this](size_t, uint64_t n) { send(n); }) {
  if (socket_ < 0) throw std::runtime_error("the UDP feeder cannot make a socket");
}

UdpFeeder::~UdpFeeder() {
  stop();
  ::close(socket_);
}

void UdpFeeder::send(uint64_t n) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port_);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::string payload = feed_.payload(n);
  const int64_t at_us = wall_us();
  const ssize_t put = ::sendto(socket_, payload.data(), payload.size(), 0,
                               reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (put == static_cast<ssize_t>(payload.size())) feed_.sent->add(n, at_us);
}

}  // namespace penstock::test
