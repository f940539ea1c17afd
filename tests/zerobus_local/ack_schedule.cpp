#include "tests/zerobus_local/ack_schedule.h"

namespace penstock::local {
namespace {
constexpr size_t kMaxSteps =
    1024;  // acknowledgements may be held for hours; memory may not grow with them
}

void AckSchedule::durable(int64_t offset, MonoTime now) {
  if (steps_.size() >= kMaxSteps) {
    steps_.back() = {offset, now};
  } else {
    steps_.push_back({offset, now});
  }
}

std::optional<int64_t> AckSchedule::take_due(MonoTime now, const AckRules& rules, bool last) {
  if (rules.hold || steps_.empty()) return std::nullopt;
  if (rules.slow > Millis(0)) {
    if (now < steps_.front().since + rules.slow) return std::nullopt;
    while (!steps_.empty() && now >= steps_.front().since + rules.slow) {
      acked_ = steps_.front().up_to;
      steps_.pop_front();
    }
    return acked_;
  }
  const bool enough = steps_.back().up_to - acked_ >= rules.every;
  if (!last && !enough && now < steps_.front().since + rules.interval) return std::nullopt;
  acked_ = steps_.back().up_to;
  steps_.clear();
  return acked_;
}

std::optional<MonoTime> AckSchedule::next(const AckRules& rules) const {
  if (rules.hold || steps_.empty()) return std::nullopt;
  return steps_.front().since + (rules.slow > Millis(0) ? rules.slow : rules.interval);
}

}  // namespace penstock::local
