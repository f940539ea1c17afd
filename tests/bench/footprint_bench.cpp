// penstock-bench-footprint [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: size, memory,
// wake-ups and start of the agent.
#include "tests/bench/footprint_bench.h"

#include "tests/bench/load_udp.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (const auto done = run_as_udp_sender(argc, argv)) return *done;
  FootprintSettings settings;
  const auto part = parts_of(settings);
  return bench_main(argc, argv,
                    {"footprint",
                     settings,
                     {},
                     {},
                     {{"sizes", part(measure_sizes)},
                      {"memory", part(measure_memory)},
                      {"start", part(measure_start)}}});
}
