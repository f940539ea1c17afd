#include "agent/base/clock.h"

namespace penstock {

Now read_clock() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::steady_clock::now(),
          std::chrono::duration_cast<std::chrono::microseconds>(wall).count()};
}

}  // namespace penstock
