#include "agent/base/wall_clock.h"

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

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

ClockTrust::Ask asked_rarely(ClockTrust::Ask ask, std::function<MonoTime()> mono) {
  struct Answer {
    std::mutex mutex;
    std::optional<MonoTime> at;
    bool is_set = false;
  };
  return [ask = std::move(ask), mono = std::move(mono),
          last = std::make_shared<Answer>()](int64_t wall_us) {
    const MonoTime now = mono();
    const std::lock_guard lock(last->mutex);
    if (!last->at || now - *last->at >= std::chrono::seconds(1)) {
      last->at = now;
      last->is_set = ask(wall_us);
    }
    return last->is_set && wall_us >= kEarliestWallUs;
  };
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
