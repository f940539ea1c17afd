// One line per phase of the demo, with the time since it began. Flushed at once, so a pipe shows
// them too.
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace penstock::e2e {

class Progress {
 public:
  void say(const std::string& what) const {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began_;
    std::printf("[%5.1f s] %s\n", elapsed.count(), what.c_str());
    std::fflush(stdout);
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace penstock::e2e
