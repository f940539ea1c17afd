// Sends numbered datagrams to 127.0.0.1:port at a steady rate, whether or not anybody listens.
//
// A number counts as sent when the kernel took the datagram. One thread constructs, starts and
// stops.
#pragma once

#include <cstdint>

#include "tests/support/feed.h"
#include "tests/support/paced_thread.h"

namespace penstock::test {

class UdpFeeder {
 public:
  UdpFeeder(uint16_t port, Feed feed);
  ~UdpFeeder();

  void start() { pace_.start(); }
  void stop() { pace_.stop(); }

 private:
  void send(uint64_t n);

  uint16_t port_;
  Feed feed_;
  int socket_;
  PacedThread pace_;
};

}  // namespace penstock::test
