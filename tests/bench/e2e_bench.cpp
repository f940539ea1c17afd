// penstock-bench-e2e [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: the whole way, from the
// wire to the server's files.
#include "tests/bench/e2e_bench.h"

#include "tests/bench/load_udp.h"
#include "tests/bench/receive_buffer.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (const auto done = run_as_udp_sender(argc, argv)) return *done;
  E2eSettings settings;
  const auto part = parts_of(settings);
  return bench_main(argc, argv,
                    {"e2e",
                     settings,
                     {},
                     describe_receive_buffer,
                     {{"udp", part(measure_e2e_udp)},
                      {"mqtt", part(measure_e2e_mqtt)},
                      {"at 5 k/s", part(measure_e2e_slow)},
                      {"outages", part(measure_outages)}}});
}
