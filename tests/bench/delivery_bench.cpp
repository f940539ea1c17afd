// penstock-bench-delivery [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR] [--official DIR]:
// what delivery costs, beside loopback TCP, the official client and itself without trouble.
#include "tests/bench/delivery_bench.h"

#include <cstring>

namespace penstock::bench {
namespace {

// What this program does as its own child; throws what it stumbles over.
int child(int argc, char** argv) {
  const std::string name = argc > 0 ? argv[0] : "";
  if (name == "sink") return child_sink(argc - 1, argv + 1);
  if (name == "receiver") return child_receiver();
  if (name == "fill") return child_fill(argc - 1, argv + 1);
  if (name == "carry") return child_carry(argc - 1, argv + 1);
  return 2;
}

int parent(int argc, char** argv) {
  DeliverySettings settings;
  const auto part = parts_of(settings);
  const auto official = [&settings](const std::string& dir) {
    settings.official = std::filesystem::absolute(dir);
  };
  const auto prepare = [&settings](Report&) {
    settings.tls = test::make_authority(settings.dir, "bench", "localhost");
  };
  return bench_main(argc, argv,
                    {"delivery",
                     settings,
                     {{"--official", "NODE-MODULES", official}},
                     prepare,
                     {{"one stream", part(measure_streams)},
                      {"the official client", part(measure_official)},
                      {"encoding and TLS", part(measure_encoding)},
                      {"at the service's limit", part(measure_core_share)},
                      {"a backlog", part(measure_drain)},
                      {"beside dead tables", part(measure_dead_tables)}}});
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  const bool child = argc >= 2 && std::strcmp(argv[1], "--child") == 0;
  return child ? penstock::bench::child(argc - 2, argv + 2) : penstock::bench::parent(argc, argv);
}
