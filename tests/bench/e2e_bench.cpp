// penstock-bench-e2e [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: the whole way, from the
// wire to the server's files.
#include "tests/bench/e2e_bench.h"

#include <cstdio>
#include <cstring>
#include <exception>

#include "agent/base/clock.h"
#include "tests/bench/load_udp.h"
#include "tests/bench/receive_buffer.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::bench {
namespace {

int measure(const E2eSettings& settings, bool json) {
  Report report("e2e");
  describe_machine(report);
  describe_receive_buffer(report);
  report.machine("mode", settings.quick ? "quick: fewer and shorter runs" : "full");
  const std::pair<const char*, void (*)(const E2eSettings&, Report&)> parts[] = {
      {"udp", measure_e2e_udp},
      {"mqtt", measure_e2e_mqtt},
      {"at 5 k/s", measure_e2e_slow},
      {"outages", measure_outages},
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
  std::fputs("usage: penstock-bench-e2e [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]\n",
             stderr);
  return 2;
}

int run(int argc, char** argv) {
  if (argc >= 3 && std::strcmp(argv[1], "--child") == 0)
    return std::strcmp(argv[2], "udp") == 0 ? child_udp(argc - 3, argv + 3) : usage();
  E2eSettings settings;
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
    } else {
      return usage();
    }
  }
  const test::TempDir own("bench");
  settings.dir = base.empty() ? own.path() : base / "penstock-bench";
  std::filesystem::create_directories(settings.dir);
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
    std::fprintf(stderr, "penstock-bench-e2e: %s\n", problem.what());
    return 1;
  }
}
