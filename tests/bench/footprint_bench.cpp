// penstock-bench-footprint [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: size, memory,
// wake-ups and start of the agent.
#include "tests/bench/footprint_bench.h"

#include <cstring>

#include "tests/bench/load_udp.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (argc >= 3 && std::strcmp(argv[1], "--child") == 0)
    return std::strcmp(argv[2], "udp") == 0 ? child_udp(argc - 3, argv + 3) : 2;
  FootprintSettings settings;
  const auto part = [&settings](void (*measure)(const FootprintSettings&, Report&)) {
    return [&settings, measure](Report& report) { measure(settings, report); };
  };
  return bench_main(argc, argv,
                    {"footprint",
                     settings,
                     {},
                     {},
                     {{"sizes", part(measure_sizes)},
                      {"memory", part(measure_memory)},
                      {"start", part(measure_start)}}});
}
