// penstock-bench-spool [--json] [--quick] [--only PART-OF-AN-ID] [--dir DIR]: how close the spool
// comes to its disk.
#include "tests/bench/spool_bench.h"

#include <cstring>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

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

}  // namespace penstock::bench

int main(int argc, char** argv) {
  using namespace penstock::bench;
  if (argc == 5 && std::strcmp(argv[1], "--child") == 0) {
    return std::strcmp(argv[2], "fill") == 0 ? child_fill(argv[3], argv[4])
                                             : child_memory(argv[3], argv[4]);
  }
  Settings settings;
  const auto part = parts_of(settings);
  return bench_main(argc, argv,
                    {"spool",
                     settings,
                     {},
                     {},
                     {{"saturation", part(measure_saturated)},
                      {"commit time", part(measure_commit)},
                      {"write amplification", part(measure_write_amplification)},
                      {"trim", part(measure_trim)},
                      {"backlog", part(measure_backlog_read)},
                      {"open after kill -9", part(measure_open_after_kill)},
                      {"fault", part(measure_roll)},
                      {"memory", part(measure_memory)}}});
}
