#include "agent/base/clock.h"

#include <sys/types.h>

namespace penstock {

// Also where time_t has 32 bits (Debian 12 on armhf).
static_assert(sizeof(Now::wall_us) == 8 && sizeof(std::chrono::system_clock::rep) == 8);
static_assert(sizeof(off_t) == 8, "a spool may be larger than 2 GiB: _FILE_OFFSET_BITS=64");

Now read_clock() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::steady_clock::now(),
          std::chrono::duration_cast<std::chrono::microseconds>(wall).count()};
}

}  // namespace penstock
