// RetryPolicy: what follows the end of a stream or a failed attempt to open one: now, after a
// backoff, slower, or held.
//
// Pure, one owner (a StreamSession). It never answers "give up".
#pragma once

#include <optional>
#include <string>

#include "agent/base/backoff.h"
#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/zerobus/status.h"

namespace penstock::zerobus {

struct RetryConfig {
  Millis min{500};
  Millis max{60'000};
  Millis throttled_min{5'000};  // first delay after RESOURCE_EXHAUSTED; grows up to `max`
  Millis held{300'000};         // between attempts while a person has to act; drawn from +-20 %
};

// Why there is no stream any more.
struct Failure {
  enum class End {
    kFailed,    // trouble
    kRotation,  // the server ended the stream in order, as it does from time to time
    kOwn,       // we closed it: idle, or held for a while
  };

  ErrorKind kind = ErrorKind::kTransient;
  int code = 0;                       // gRPC's; negative where there was none
  std::string text;                   // for people, with advice
  std::optional<Millis> retry_after;  // heeded up to what a person has configured as the longest
  End end = End::kFailed;
};

struct RetryStep {
  enum class How { kNow, kBackoff, kThrottled, kHeld };
  How how = How::kNow;
  Millis delay{0};
  bool drop_token = false;
  std::string text;
  int code = 0;
};

// `held` spread by +-20 %, so that what is held together does not come back together.
Millis held_delay(Millis held, double random);

class RetryPolicy {
 public:
  explicit RetryPolicy(const RetryConfig& config);

  // An ack arrived: the path works.
  void delivered();
  // `delivered`: the stream that ended had acknowledged something.
  RetryStep next(const Failure& failure, bool delivered, double random);
  int failures() const { return failures_; }

 private:
  RetryStep denied(const Failure& failure, double random);

  RetryConfig config_;
  Backoff backoff_;
  Backoff throttled_;
  int failures_ = 0;
  bool fresh_token_tried_ = false;
};

}  // namespace penstock::zerobus
