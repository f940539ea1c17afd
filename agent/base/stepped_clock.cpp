#include "agent/base/stepped_clock.h"

#include <cstdlib>
#include <fstream>
#include <system_error>

#include "agent/base/boot.h"

namespace penstock {
namespace {

// chrony steps by more than one second, ntpd by more than an eighth; what is slewed instead (0.05
// %) does not come to this while a clock is being set.
constexpr int64_t kStepUs = 2'000'000;

}  // namespace

SteppedClock::SteppedClock(std::filesystem::path marker, int64_t wall_us, ClockTrust::Ask is_set)
    : marker_(std::move(marker)), ahead_us_(wall_us - since_boot_us()), is_set_(std::move(is_set)) {
  std::error_code ignored;
  stepped_ = !marker_.empty() && std::filesystem::exists(marker_, ignored);
}

bool SteppedClock::is_set(int64_t wall_us) {
  if (is_set_(wall_us)) return true;
  if (wall_us < kEarliestWallUs) return false;
  if (stepped_) return true;
  if (std::abs(wall_us - since_boot_us() - ahead_us_) < kStepUs) return false;
  stepped_ = true;
  if (!marker_.empty()) std::ofstream(marker_).flush();  // without it the next run waits for a step
  return true;
}

}  // namespace penstock
