// Files: what is ours, and everything that a running agent maps.
#include <fstream>
#include <set>

#include <sys/utsname.h>

#include "tests/bench/footprint_bench.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace penstock::bench {
namespace {

constexpr double kMB = 1e6;

// 0 when there is no strip, or it fails.
uintmax_t stripped_bytes(const std::filesystem::path& file, const std::filesystem::path& dir) {
  const auto out = dir / "stripped";
  test::Process strip(
      {{"strip", "--strip-unneeded", "-o", out.string(), file.string()}, {}, dir / "strip.log"});
  if (strip.wait(std::chrono::seconds(30)) != 0) return 0;
  return std::filesystem::file_size(out);
}

std::set<std::string> mapped_files(pid_t pid) {
  std::set<std::string> files;
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    const auto at = line.find('/');
    const bool is_code = line.find(" r-xp ") != std::string::npos;
    if (at != std::string::npos && is_code) files.insert(line.substr(at));
  }
  return files;
}

}  // namespace

void measure_sizes(const FootprintSettings& settings, Report& report) {
  utsname system{};
  uname(&system);
  Finding own;
  own.id = "binary_mb";
  own.unit = "MB";
  own.target = 5;
  own.better = Better::kLess;
  own.note = std::string("agent and plugins, stripped, ") + system.machine;
  if (settings.wants(own.id)) {
    uintmax_t bytes = 0;
    for (const char* file :
         {"agent/penstock", "plugins/mqtt.so", "plugins/serial.so", "plugins/udp.so"}) {
      const auto one =
          stripped_bytes(std::filesystem::path(test::build_dir()) / file, settings.dir);
      if (one == 0) own.skipped = std::string("strip fails for ") + file;
      bytes += one;
    }
    own.values.push_back(static_cast<double>(bytes) / kMB);
    report.add(own);
  }
  Finding all;
  all.id = "mapped_mb";
  all.unit = "MB";
  all.better = Better::kLess;
  if (!settings.wants(all.id)) return;
  Gateway gateway(settings.dir / "sizes");
  const auto files = mapped_files(gateway.rig().agent().pid());
  uintmax_t bytes = 0;
  for (const auto& file : files) bytes += std::filesystem::file_size(file);
  all.values.push_back(static_cast<double>(bytes) / kMB);
  all.note = "the agent and every library it loads, " + std::to_string(files.size()) + " files";
  report.add(all);
}

}  // namespace penstock::bench
