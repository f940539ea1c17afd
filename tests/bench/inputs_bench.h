// The parts of `penstock-bench-inputs`. Each adds its results, or why there are none, to the
// report.
//
// Measured is the way from the source to the commit: the plugins as the agent loads them, its host,
// routing, queue and spool (inputs_rig.h). What is committed counts as delivered at once, so that
// nothing of the way out is in the figures. Sources are on this machine and share its cores.
#pragma once

#include <filesystem>
#include <string>

#include "tests/bench/report.h"

namespace penstock::bench {

struct InputsSettings {
  bool quick = false;
  std::string only;           // part of an id; empty: all
  std::filesystem::path dir;  // on a local disk; ours alone, removed at the end
  int runs() const { return quick ? 3 : 5; }
  bool wants(const std::string& id) const { return id.find(only) != std::string::npos; }
};

void measure_mqtt_window(const InputsSettings& settings, Report& report);
void measure_mqtt_strict(const InputsSettings& settings, Report& report);
void measure_mqtt_hold(const InputsSettings& settings, Report& report);
void measure_udp(const InputsSettings& settings, Report& report);
void measure_udp_burst(const InputsSettings& settings, Report& report);
void measure_serial(const InputsSettings& settings, Report& report);

}  // namespace penstock::bench
