// The parts of `penstock-bench-delivery`. Each adds its results, or why there are none, to the
// report.
//
// Everything is on loopback, against a sink (delivery_sink.h) that is a process of its own, so that
// the CPU time of server and client can be told apart. "Payload" is the JSON of a record alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/bench/bench_main.h"
#include "tests/bench/delivery_sink.h"
#include "tests/support/mqtt_certificates.h"

namespace penstock::bench {

struct DeliverySettings : Settings {
  std::filesystem::path official;  // node_modules with the official client; empty: none
  test::TestAuthority tls;
  double stream_s() const { return quick ? 0.7 : 3; }
  // Names the endpoint of a sink, with our own authority when it has TLS.
  zerobus::Endpoint endpoint(const Sink& sink) const {
    return {"localhost", sink.port(), sink.tls(), sink.tls() ? tls.ca.string() : ""};
  }
};

void measure_streams(const DeliverySettings& settings, Report& report);
void measure_official(const DeliverySettings& settings, Report& report);
void measure_encoding(const DeliverySettings& settings, Report& report);
void measure_core_share(const DeliverySettings& settings, Report& report);
void measure_drain(const DeliverySettings& settings, Report& report);
void measure_dead_tables(const DeliverySettings& settings, Report& report);

// What this program does as its own child; see delivery_lanes.cpp.
int child_fill(int argc, char** argv);
int child_carry(int argc, char** argv);

}  // namespace penstock::bench
