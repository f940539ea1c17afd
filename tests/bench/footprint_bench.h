// The parts of `penstock-bench-footprint`: what the agent takes of a gateway. Each adds its
// results, or why there are none, to the report.
//
// The agent of this build as a process of its own: an MQTT input at a real broker, a serial line (a
// pty), a UDP input, one table over TLS. Figures are of this machine's architecture; the sizes for
// ARM come from `./dev cross`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "tests/bench/bench_main.h"
#include "tests/bench/e2e_rig.h"
#include "tests/support/mosquitto.h"
#include "tests/support/pty.h"

namespace penstock::bench {

struct FootprintSettings : Settings {
  int runs() const { return quick ? 3 : 10; }
};

// A gateway with something at every input. Main thread.
class Gateway {
 public:
  explicit Gateway(const std::filesystem::path& dir);

  E2eRig& rig() { return *rig_; }
  uint16_t udp_port() const { return udp_port_; }
  // Starts the agent and sends a datagram every millisecond until one is answered, which is after
  // its commit; ends the agent again. Milliseconds from exec.
  double start_to_first_commit_ms();

 private:
  test::Mosquitto broker_;
  test::PtyLine line_;
  const uint16_t udp_port_;
  std::unique_ptr<E2eRig> rig_;
};

void measure_sizes(const FootprintSettings& settings, Report& report);
void measure_memory(const FootprintSettings& settings, Report& report);
void measure_start(const FootprintSettings& settings, Report& report);

}  // namespace penstock::bench
