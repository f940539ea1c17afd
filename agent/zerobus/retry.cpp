#include "agent/zerobus/retry.h"

#include <algorithm>
#include <utility>

namespace penstock::zerobus {
namespace {

constexpr Millis kLongEnough{5'000};  // for a stream that ends
constexpr Millis kOncePer{60'000};    // one that ends sooner is pardoned

}  // namespace

Millis held_delay(Millis held, double random) {
  const double factor = 0.8 + 0.4 * random;
  return Millis(static_cast<int64_t>(static_cast<double>(held.count()) * factor));
}

RetryPolicy::RetryPolicy(const RetryConfig& config)
    : config_(config),
      backoff_(config.min, config.max),
      throttled_(config.throttled_min, std::max(config.max, config.throttled_min)) {}

void RetryPolicy::delivered() {
  failures_ = 0;
  fresh_token_tried_ = false;
}

// An end of ours is no fault of the server's.
bool RetryPolicy::too_soon(const Failure& failure, const StreamLife& life, MonoTime now) {
  if (failure.end == Failure::End::kOwn || life.open >= kLongEnough) return false;
  if (ended_soon_ && now - *ended_soon_ < kOncePer) return true;
  ended_soon_ = now;
  return false;
}

RetryStep RetryPolicy::next(const Failure& failure, const StreamLife& life, MonoTime now,
                            double random) {
  using How = RetryStep::How;
  if (life.delivered && failure.kind != ErrorKind::kThrottled) throttled_.reset();
  const bool soon = life.delivered && too_soon(failure, life, now);
  if (life.delivered && !soon) backoff_.reset();
  if (failure.end == Failure::End::kOwn) return {};
  const bool rotated = failure.end == Failure::End::kRotation && life.delivered;
  if (rotated && !soon) return {};
  // A server that rotates streams before they carry anything would be a busy loop as well.
  if (!rotated) ++failures_;
  RetryStep step{How::kBackoff, {}, false, failure.text, failure.code, soon};
  if (rotated) step.text = "streams are ended soon after they were opened: " + failure.text;
  switch (failure.kind) {
    case ErrorKind::kDenied:
      return denied(failure, soon, random);
    case ErrorKind::kThrottled:
      step.how = How::kThrottled;
      step.delay = throttled_.next(0.5 + random / 2);
      break;
    default:
      step.delay = backoff_.next(random);
  }
  if (failure.retry_after) {
    const Millis longest = std::max(config_.max, config_.held);
    step.delay = std::max(step.delay, std::min(*failure.retry_after, longest));
  }
  return step;
}

RetryStep RetryPolicy::denied(const Failure& failure, bool soon, double random) {
  using How = RetryStep::How;
  const bool unauthenticated = failure.code == code::kUnauthenticated;
  // Grants are written into the token, so a fresh one is needed after they were corrected as well.
  const bool drop = unauthenticated || failure.code == code::kPermissionDenied;
  RetryStep step{How::kHeld, {}, drop, failure.text, failure.code, soon};
  // Any other word of the service means that it took the token: the next refusal is of a later one.
  if (!unauthenticated && failure.code > 0) fresh_token_tried_ = false;
  if (!unauthenticated || std::exchange(fresh_token_tried_, true)) {
    step.delay = held_delay(config_.held, random);
  } else if (soon) {
    step.how = How::kBackoff;
    step.delay = backoff_.next(random);
  } else {
    step.how = How::kNow;
  }
  return step;
}

}  // namespace penstock::zerobus
