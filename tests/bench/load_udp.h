// Datagrams at a pace, from a process of its own (this program, started once more), so that its
// CPU time is not the receiver's.
//
// A datagram is JSON, {"n":N,"t":SENT,...} padded to its size: N counts the datagrams, SENT is in
// microseconds since 1970. Throws std::runtime_error when the child fails.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "tests/support/process.h"

namespace penstock::bench {

struct UdpLoad {
  uint16_t port = 0;
  size_t bytes = 200;
  uint64_t count = 0;
  double per_second = 0;
  uint64_t first = 0;                // the first N
  std::vector<uint16_t> from = {0};  // the senders' ports, in turn; 0: any
};

struct UdpSent {
  uint64_t count = 0;
  double seconds = 0;
  double cpu_s = 0;
  double per_second() const { return static_cast<double>(count) / seconds; }
};

class UdpSender {
 public:
  UdpSender(const UdpLoad& load, const std::filesystem::path& dir);
  UdpSent wait();

 private:
  std::unique_ptr<test::Process> process_;
};

// First thing in main: the exit code of the child that a UdpSender has made of this program, or
// nothing where it is none.
std::optional<int> run_as_udp_sender(int argc, char** argv);

}  // namespace penstock::bench
