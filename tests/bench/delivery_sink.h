// The far end of the delivery bench: a Zerobus server that looks at nothing but a request's offset
// and acknowledges it, so that the client is what is measured. And a bare TCP receiver, the limit.
//
// Each is a process of its own, this program run as `--child sink ...`; the destructor ends it.
// Throws std::runtime_error when it does not come up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/zerobus/endpoint.h"
#include "tests/support/mqtt_certificates.h"
#include "tests/support/process.h"

namespace penstock::bench {

// A child of this program, `--child NAME ...`.
std::unique_ptr<test::Process> start_child(const std::vector<std::string>& arguments,
                                           const std::filesystem::path& output);

class Sink {
 public:
  // `tls` null: in clear. Tables whose name contains "refused" are not found, "frozen" get no
  // answer, "mute" no acknowledgement.
  explicit Sink(const std::filesystem::path& dir, const test::TestAuthority* tls = nullptr);
  uint16_t port() const { return port_; }
  bool tls() const { return tls_; }
  double cpu_s() const;  // of its process so far

 private:
  std::unique_ptr<test::Process> process_;
  bool tls_ = false;
  uint16_t port_ = 0;
};

// Bytes a second through loopback TCP, sent a megabyte at a time for so long.
double raw_tcp_bytes_per_s(const std::filesystem::path& dir, double seconds);

int child_sink(int argc, char** argv);
int child_receiver();

}  // namespace penstock::bench
