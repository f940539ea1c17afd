// penstock-bench-spool [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: how close the spool
// comes to its disk.
#include "tests/bench/spool_bench.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "tests/support/temp_dir.h"

namespace penstock::bench {

Child start_child(const std::string& name, const std::filesystem::path& dir,
                  const std::string& argument) {
  int pipe_fds[2];
  Child child;
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return child;
  std::vector<std::string> words{"penstock-bench-spool", "--child", name, dir.string(), argument};
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
  posix_spawn(&child.pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  child.output = pipe_fds[0];
  return child;
}

void make_cold(const std::filesystem::path& dir) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

std::filesystem::path fresh_dir(const Settings& settings, const std::string& name) {
  auto dir = settings.dir / name;
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

namespace {

int measure(const Settings& settings, bool json) {
  Report report("spool");
  describe_machine(report);
  report.machine("mode", settings.quick ? "quick: fewer and shorter runs" : "full");
  const std::pair<const char*, void (*)(const Settings&, Report&)> parts[] = {
      {"saturation", measure_saturated},
      {"commit time", measure_commit},
      {"write amplification", measure_write_amplification},
      {"trim", measure_trim},
      {"backlog", measure_backlog_read},
      {"open after kill -9", measure_open_after_kill},
      {"memory", measure_memory},
  };
  for (const auto& [name, part] : parts) {
    const MonoTime start = read_clock().mono;
    part(settings, report);
    std::fprintf(stderr, "%s: %.0f s\n", name,
                 std::chrono::duration<double>(read_clock().mono - start).count());
  }
  std::fputs(report.table().c_str(), stdout);
  if (json) std::printf("%s\n", report.json().c_str());
  return 0;
}

int usage() {
  std::fputs("usage: penstock-bench-spool [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]\n",
             stderr);
  return 2;
}

int run(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "--child") == 0) {
    return std::strcmp(argv[2], "fill") == 0 ? child_fill(argv[3], argv[4])
                                             : child_memory(argv[3], argv[4]);
  }
  Settings settings;
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
    std::fprintf(stderr, "penstock-bench-spool: %s\n", problem.what());
    return 1;
  }
}
