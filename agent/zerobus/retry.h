// RetryPolicy: what follows the end of a stream or a failed attempt to open one: now, after a
// backoff, slower, or held.
//
// A stream that delivered something and ended is followed by the next at once (after a rotation or
// the first refusal of a token), or by a backoff that begins anew, if it was open for at least 5 s,
// or no stream ended so soon in the minute before. Otherwise its end counts as one more failure for
// the backoff, in spite of its acknowledgements: a server that ends each stream after one would be
// a busy loop, against the token endpoint too. So the rotation after 15 minutes costs no pause, nor
// does one soon after it, and a server that goes on like this is asked about ten times a minute.
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

// Of the stream that ended.
struct StreamLife {
  bool delivered = false;  // it acknowledged something
  Millis open{0};          // how long it was
};

struct RetryStep {
  enum class How { kNow, kBackoff, kThrottled, kHeld };
  How how = How::kNow;
  Millis delay{0};
  bool drop_token = false;
  std::string text;
  int code = 0;
  bool too_soon = false;  // the delay is for what there will be to send, too
};

// `held` spread by +-20 %, so that what is held together does not come back together.
Millis held_delay(Millis held, double random);

class RetryPolicy {
 public:
  explicit RetryPolicy(const RetryConfig& config);

  // An ack arrived: the path works.
  void delivered();
  RetryStep next(const Failure& failure, const StreamLife& life, MonoTime now, double random);
  int failures() const { return failures_; }

 private:
  bool too_soon(const Failure& failure, const StreamLife& life, MonoTime now);
  RetryStep denied(const Failure& failure, bool too_soon, double random);

  RetryConfig config_;
  Backoff backoff_;
  Backoff throttled_;
  int failures_ = 0;
  bool fresh_token_tried_ = false;
  std::optional<MonoTime> ended_soon_;  // the last such end that was not held against the server
};

}  // namespace penstock::zerobus
