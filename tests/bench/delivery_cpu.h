// CPU time and memory of this process, in seconds and megabytes.
#pragma once

#include <fstream>
#include <string>

#include <sys/resource.h>
#include <time.h>

namespace penstock::bench {

inline double clock_s(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

inline double own_cpu_s() { return clock_s(CLOCK_PROCESS_CPUTIME_ID); }
inline double thread_cpu_s() { return clock_s(CLOCK_THREAD_CPUTIME_ID); }

inline double peak_memory_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

}  // namespace penstock::bench
