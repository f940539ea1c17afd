// penstock-bench-inputs [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: what an input makes
// of its source, from the wire to the commit.
#include "tests/bench/inputs_bench.h"

#include "tests/bench/load_udp.h"
#include "tests/bench/receive_buffer.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (const auto done = run_as_udp_sender(argc, argv)) return *done;
  InputsSettings settings;
  const auto part = parts_of(settings);
  return bench_main(argc, argv,
                    {"inputs",
                     settings,
                     {},
                     describe_receive_buffer,
                     {{"mqtt, open window", part(measure_mqtt_window)},
                      {"mqtt, window of 20", part(measure_mqtt_strict)},
                      {"mqtt, hold times", part(measure_mqtt_hold)},
                      {"udp", part(measure_udp)},
                      {"udp, bursts", part(measure_udp_burst)},
                      {"serial", part(measure_serial)}}});
}
