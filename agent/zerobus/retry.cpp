#include "agent/zerobus/retry.h"

#include <algorithm>

namespace penstock::zerobus {

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
  backoff_.reset();
  fresh_token_tried_ = false;
}

RetryStep RetryPolicy::next(const Failure& failure, bool delivered, double random) {
  using How = RetryStep::How;
  if (delivered && failure.kind != ErrorKind::kThrottled) throttled_.reset();
  if (failure.end == Failure::End::kOwn) return {};
  // A server that rotates streams before they carry anything would be a busy loop: then wait as
  // after a failure.
  if (failure.end == Failure::End::kRotation && delivered) return {};
  ++failures_;
  RetryStep step{How::kBackoff, {}, false, failure.text, failure.code};
  switch (failure.kind) {
    case ErrorKind::kDenied:
      return denied(failure, random);
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

RetryStep RetryPolicy::denied(const Failure& failure, double random) {
  using How = RetryStep::How;
  const bool unauthenticated = failure.code == code::kUnauthenticated;
  // Grants are written into the token, so a fresh one is needed after they were corrected as well.
  const bool drop = unauthenticated || failure.code == code::kPermissionDenied;
  if (unauthenticated && !fresh_token_tried_) {
    fresh_token_tried_ = true;
    return {How::kNow, {}, drop, failure.text, failure.code};
  }
  return {How::kHeld, held_delay(config_.held, random), drop, failure.text, failure.code};
}

}  // namespace penstock::zerobus
