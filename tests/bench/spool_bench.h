// The parts of `penstock-bench-spool`. Each adds its results, or why there are none, to the report.
#pragma once

#include <filesystem>
#include <string>

#include "tests/bench/bench_main.h"

namespace penstock::bench {

void measure_saturated(const Settings& settings, Report& report);
void measure_commit(const Settings& settings, Report& report);
void measure_write_amplification(const Settings& settings, Report& report);
void measure_trim(const Settings& settings, Report& report);
void measure_backlog_read(const Settings& settings, Report& report);
void measure_open_after_kill(const Settings& settings, Report& report);
void measure_memory(const Settings& settings, Report& report);
void measure_roll(const Settings& settings, Report& report);

// Runs this program again as `--child NAME DIR ARGUMENT`, in a process of its own; returns its
// output pipe.
struct Child {
  int pid = -1;
  int output = -1;
};
Child start_child(const std::string& name, const std::filesystem::path& dir,
                  const std::string& argument);
int child_fill(const std::filesystem::path& dir, const std::string& records);
int child_memory(const std::filesystem::path& dir, const std::string& megabytes);

// Drops the directory's files from the page cache, as far as the kernel lets an ordinary user do
// that.
void make_cold(const std::filesystem::path& dir);
// An empty directory below settings.dir.
std::filesystem::path fresh_dir(const Settings& settings, const std::string& name);

}  // namespace penstock::bench
