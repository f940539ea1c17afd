// The wall clock in the unit the agent and the local server stamp with: microseconds since 1970
// UTC. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace penstock::test {

inline int64_t wall_us() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

}  // namespace penstock::test
