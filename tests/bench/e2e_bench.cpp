// penstock-bench-e2e [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: the whole way, from the
// wire to the server's files.
#include "tests/bench/e2e_bench.h"

#include <cstring>

#include "tests/bench/load_udp.h"
#include "tests/bench/receive_buffer.h"

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (argc >= 3 && std::strcmp(argv[1], "--child") == 0)
    return std::strcmp(argv[2], "udp") == 0 ? child_udp(argc - 3, argv + 3) : 2;
  E2eSettings settings;
  const auto part = [&settings](void (*measure)(const E2eSettings&, Report&)) {
    return [&settings, measure](Report& report) { measure(settings, report); };
  };
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
