// penstock-bench-delivery [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR] [--official DIR]:
// what delivery costs, beside loopback TCP, the official client and itself without trouble.
#include "tests/bench/delivery_bench.h"

#include <cstdio>
#include <cstring>
#include <exception>

#include "agent/base/clock.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::bench {
namespace {

int measure(const DeliverySettings& settings, bool json) {
  Report report("delivery");
  describe_machine(report);
  report.machine("mode", settings.quick ? "quick: fewer and shorter runs" : "full");
  const std::pair<const char*, void (*)(const DeliverySettings&, Report&)> parts[] = {
      {"one stream", measure_streams},        {"the official client", measure_official},
      {"encoding and TLS", measure_encoding}, {"at the service's limit", measure_core_share},
      {"a backlog", measure_drain},           {"beside dead tables", measure_dead_tables},
  };
  for (const auto& [name, part] : parts) {
    const MonoTime start = read_clock().mono;
    part(settings, report);
    std::fprintf(stderr, "%s: %.0f s\n", name, seconds_since(start));
  }
  std::fputs(report.table().c_str(), stdout);
  if (json) std::printf("%s\n", report.json().c_str());
  return 0;
}

int usage() {
  std::fputs(
      "usage: penstock-bench-delivery [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]\n"
      "                               [--official NODE-MODULES]\n",
      stderr);
  return 2;
}

int child(int argc, char** argv) {
  const std::string name = argc > 0 ? argv[0] : "";
  if (name == "sink") return child_sink(argc - 1, argv + 1);
  if (name == "receiver") return child_receiver();
  if (name == "fill") return child_fill(argc - 1, argv + 1);
  if (name == "carry") return child_carry(argc - 1, argv + 1);
  return usage();
}

int run(int argc, char** argv) {
  if (argc >= 2 && std::strcmp(argv[1], "--child") == 0) return child(argc - 2, argv + 2);
  DeliverySettings settings;
  bool json = false;
  std::filesystem::path base;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--json") {
      json = true;
    } else if (word == "--quick") {
      settings.quick = true;
    } else if (word == "--only" && has_value) {
      settings.only = argv[++i];
    } else if (word == "--dir" && has_value) {
      base = argv[++i];
    } else if (word == "--official" && has_value) {
      settings.official = std::filesystem::absolute(argv[++i]);
    } else {
      return usage();
    }
  }
  const test::TempDir own("bench");
  settings.dir = base.empty() ? own.path() : base / "penstock-bench";
  std::filesystem::create_directories(settings.dir);
  settings.tls = test::make_authority(settings.dir, "bench", "localhost");
  const int code = measure(settings, json);
  std::filesystem::remove_all(settings.dir);
  return code;
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  try {
    return penstock::bench::run(argc, argv);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "penstock-bench-delivery: %s\n", problem.what());
    return 1;
  }
}
