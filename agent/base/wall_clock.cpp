#include "agent/base/wall_clock.h"

#include <sys/timex.h>
#include <unistd.h>

namespace penstock {
namespace {

bool kernel_is_synchronised() {
  timex state{};
  return adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
}

bool exists(const char* file) { return access(file, F_OK) == 0; }

}  // namespace

bool wall_clock_is_set(int64_t wall_us) {
  return wall_us >= kEarliestWallUs &&
         (kernel_is_synchronised() || exists("/run/systemd/timesync/synchronized") ||
          exists("/dev/rtc0") || exists("/sys/class/rtc/rtc0"));
}

TimeQuality ClockTrust::at(const Now& now) {
  if (was_set_) return TimeQuality::kSet;
  const auto mono = now.mono.time_since_epoch().count();
  if (mono < ask_again_) return TimeQuality::kUnset;
  ask_again_ = (now.mono + std::chrono::seconds(1)).time_since_epoch().count();
  if (!is_set_(now.wall_us)) return TimeQuality::kUnset;
  was_set_ = true;
  return TimeQuality::kSet;
}

}  // namespace penstock
