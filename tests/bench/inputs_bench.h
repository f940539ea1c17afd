// The parts of `penstock-bench-inputs`. Each adds its results, or why there are none, to the
// report.
//
// Measured is the way from the source to the commit: the plugins as the agent loads them, its host,
// routing, queue and spool (inputs_rig.h). What is committed counts as delivered at once, so that
// nothing of the way out is in the figures. Sources are on this machine and share its cores.
#pragma once

#include "tests/bench/bench_main.h"

namespace penstock::bench {

using InputsSettings = Settings;

void measure_mqtt_window(const InputsSettings& settings, Report& report);
void measure_mqtt_strict(const InputsSettings& settings, Report& report);
void measure_mqtt_hold(const InputsSettings& settings, Report& report);
void measure_udp(const InputsSettings& settings, Report& report);
void measure_udp_burst(const InputsSettings& settings, Report& report);
void measure_serial(const InputsSettings& settings, Report& report);

}  // namespace penstock::bench
