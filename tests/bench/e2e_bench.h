// The parts of `penstock-bench-e2e`. Each adds its results, or why there are none, to the report.
//
// The agent as a process of its own with the defaults of its configuration, one input, 16 tables,
// and the local Zerobus server with raw files for tables; generator, agent and server share this
// machine's cores, and only the agent's CPU time is counted.
#pragma once

#include "tests/bench/bench_main.h"

namespace penstock::bench {

struct E2eSettings : Settings {
  int runs() const { return quick ? 1 : 5; }
  double trial_s() const { return quick ? 1.5 : 4; }
};

void measure_e2e_udp(const E2eSettings& settings, Report& report);
void measure_e2e_mqtt(const E2eSettings& settings, Report& report);
void measure_e2e_slow(const E2eSettings& settings, Report& report);
void measure_outages(const E2eSettings& settings, Report& report);

}  // namespace penstock::bench
