#include "tests/bench/bench_main.h"

#include <algorithm>
#include <cstdio>
#include <exception>

#include "tests/support/temp_dir.h"

namespace penstock::bench {
namespace {

struct CommandLine {
  bool good = true;
  bool json = false;
  std::filesystem::path base;
};

CommandLine read_options(int argc, char** argv, const BenchProgram& program) {
  CommandLine line;
  for (int i = 1; i < argc && line.good; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    const auto own = std::find_if(program.options.begin(), program.options.end(),
                                  [&](const auto& option) { return option.word == word; });
    if (word == "--json") {
      line.json = true;
    } else if (word == "--quick") {
      program.settings.quick = true;
    } else if (word == "--only" && has_value) {
      program.settings.only = argv[++i];
    } else if (word == "--dir" && has_value) {
      line.base = argv[++i];
    } else if (own != program.options.end() && has_value) {
      own->take(argv[++i]);
    } else {
      line.good = false;
    }
  }
  return line;
}

int usage(const BenchProgram& program) {
  std::string own;
  for (const auto& option : program.options)
    own += " [" + option.word + " " + option.value_name + "]";
  std::fprintf(stderr,
               "usage: penstock-bench-%s [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]%s\n",
               program.name.c_str(), own.c_str());
  return 2;
}

void measure(const BenchProgram& program, bool json) {
  Report report(program.name);
  describe_machine(report);
  report.machine("mode", program.settings.quick ? "quick: fewer and shorter runs" : "full");
  if (program.prepare) program.prepare(report);
  for (const auto& [name, part] : program.parts) {
    const MonoTime start = read_clock().mono;
    part(report);
    std::fprintf(stderr, "%s: %.0f s\n", name.c_str(), seconds_since(start));
  }
  std::fputs(report.table().c_str(), stdout);
  if (json) std::printf("%s\n", report.json().c_str());
}

}  // namespace

double seconds_since(MonoTime start) {
  return std::chrono::duration<double>(read_clock().mono - start).count();
}

int bench_main(int argc, char** argv, const BenchProgram& program) try {
  const CommandLine line = read_options(argc, argv, program);
  if (!line.good) return usage(program);
  const test::TempDir own("bench");
  auto& dir = program.settings.dir;
  dir = line.base.empty() ? own.path() : line.base / "penstock-bench";
  std::filesystem::create_directories(dir);
  measure(program, line.json);
  std::filesystem::remove_all(dir);
  return 0;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "penstock-bench-%s: %s\n", program.name.c_str(), problem.what());
  return 1;
}

}  // namespace penstock::bench
