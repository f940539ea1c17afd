// What a StreamSession does when a stream has ended, and while there is none.
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "agent/zerobus/session.h"

namespace penstock::zerobus {
namespace {

constexpr size_t kShownIdBytes = 64;

}  // namespace

Failure StreamSession::judge(const Status& status) const {
  const StreamPhase phase = phase_ == Phase::kOpening ? StreamPhase::kOpening : StreamPhase::kOpen;
  Failure failure{classify(status, phase).kind,
                  status.code,
                  describe(status, phase),
                  {},
                  Failure::End::kFailed};
  // What the service's support asks for.
  if (!stream_id_.empty() && status.code != code::kOk)
    failure.text += " (stream " + printable(stream_id_, kShownIdBytes) + ")";
  // After a half-close or a close signal these are the orderly ends; anything else is what it says.
  const bool orderly = status.code == code::kOk || status.code == code::kUnavailable ||
                       status.code == code::kCancelled;
  if (orderly && (rotating_ || phase_ == Phase::kDraining)) {
    failure.end = own_close_ ? Failure::End::kOwn : Failure::End::kRotation;
  }
  return failure;
}

void StreamSession::abandon(const Moment& at, Failure failure) {
  actions_.push_back(Cancel{generation_});
  stream_ended(at, std::move(failure), {});
}

void StreamSession::stream_ended(const Moment& at, Failure failure, const Status& status) {
  std::optional<RetryStep> search;
  if (status.too_large) batch_limit_.too_large();
  if (failure.kind == ErrorKind::kRejected) search = judge_rejection(at, failure, status);
  if (status.unread) suspect(at, failure, status);
  const StreamLife life{window_.delivered(), std::chrono::duration_cast<Millis>(at.now - opened_)};
  rewind();
  phase_ = Phase::kNoStream;
  stream_id_.clear();
  if (stopping_) {
    end();
  } else if (hold_) {
    settle(at, {});
  } else {
    settle(at, search ? *search : retry_.next(failure, life, at.now, at.random));
  }
}

// Without anything unacknowledged there is no suspect. A search does not back off: each of its
// streams brings it nearer to the record, and their rate is bounded.
std::optional<RetryStep> StreamSession::judge_rejection(const Moment& at, Failure& failure,
                                                        const Status& status) {
  failure.kind = ErrorKind::kTransient;
  if (window_.empty()) return std::nullopt;
  const uint64_t first = window_.front().first_seq;
  const uint64_t last = window_.back().last_seq;
  if (!bisector_.searching()) actions_.push_back(Rejected{first, last, status});
  switch (bisector_.refused(
      {first, last, window_.count() == 1, !window_.delivered(), schema_in_doubt_})) {
    case Bisector::Verdict::kSearch:
      break;
    case Bisector::Verdict::kInDoubt:
      failure.text += fmt::format(
          " Record {} is refused alone, but the workspace has not described the table since: the "
          "record is kept and tried again.",
          last);
      return std::nullopt;
    case Bisector::Verdict::kPoison:
      acked_seq_ = last;
      actions_.push_back(Poison{last, status});
      break;
    case Bisector::Verdict::kHold:
      failure.kind = ErrorKind::kDenied;
      failure.text += fmt::format(
          " Record {} is refused like the {} before it, which are in the quarantine: that is the "
          "table's schema or the route's mapping, not the data.",
          last, bisector_.in_a_row());
      return std::nullopt;
  }
  const Millis wait = wait_for_search(at);
  if (wait == Millis(0)) return RetryStep{};
  failure.text += fmt::format(" (looking for the refused record from {} on)", first);
  return RetryStep{RetryStep::How::kBackoff, wait, false, failure.text, failure.code};
}

// What the server said of these records cannot be read, for the second time: it may be a refusal,
// and one record must not block its table. They are sent apart like refused ones, but with the
// backoff of trouble that passes between two streams, so that a server that ends every stream like
// this for a while sets little aside.
void StreamSession::suspect(const Moment& at, Failure& failure, const Status& status) {
  if (window_.empty()) return;
  const uint64_t first = window_.front().first_seq;
  const bool again = std::exchange(unread_at_, first) == first;
  if (again || bisector_.searching()) (void)judge_rejection(at, failure, status);
}

void StreamSession::rewind() {
  if (!window_.empty() || prepared_ || want_outstanding_) data_ = true;
  window_ = AckWindow();
  prepared_.reset();
  want_outstanding_ = data_since_want_ = false;
  writes_ = 0;
  if (std::exchange(handed_out_, false)) actions_.push_back(Rewind{acked_seq_ + 1});
}

void StreamSession::settle(const Moment& at, const RetryStep& step) {
  using How = RetryStep::How;
  if (step.drop_token) actions_.push_back(DropToken{});
  if (hold_) {
    report(SessionState::kHeld, *hold_, -1);
  } else if (!data_ && step.how != How::kHeld) {
    report(SessionState::kIdle,
           put_off_ ? "what there is to send cannot be prepared now" : "nothing to send");
    if (step.too_soon) owed_ = OwedPause{at.now + step.delay, step};
  } else if (step.how == How::kNow) {
    open(at);
  } else {
    wait(at, step);
  }
}

// Data that trickles must not open a stream for each record where the server ends them at once.
void StreamSession::open_or_wait(const Moment& at) {
  const auto owed = std::exchange(owed_, std::nullopt);
  if (!owed || at.now >= owed->until) return open(at);
  RetryStep rest = owed->step;
  rest.delay = std::chrono::ceil<Millis>(owed->until - at.now);
  wait(at, rest);
}

Millis StreamSession::wait_for_search(const Moment& at) {
  if (!search_waits_since_) search_waits_since_ = at.now;
  return open_rate_->wait(at.now, *search_waits_since_);
}

// Another session of the table may have taken the place that a search waited for.
void StreamSession::search_or_open(const Moment& at) {
  const Millis wait = bisector_.searching() ? wait_for_search(at) : Millis(0);
  if (wait == Millis(0)) return open(at);
  phase_deadline_ = at.now + wait;
}

Actions StreamSession::resume(const Moment& at) {
  if (phase_ == Phase::kWaiting || (hold_ && (phase_ == Phase::kNoStream || live())))
    report(SessionState::kConnecting, "trying again");
  end_hold(at);
  return finish();
}

// When its time is over the trouble is not: that is for an acknowledgement to say.
void StreamSession::end_hold(const Moment& at) {
  const bool held = std::exchange(hold_, std::nullopt).has_value();
  if (phase_ == Phase::kWaiting) open(at);
  if (held && phase_ == Phase::kNoStream) settle(at, {});
}

void StreamSession::wait(const Moment& at, const RetryStep& step) {
  using How = RetryStep::How;
  phase_ = Phase::kWaiting;
  phase_deadline_ = at.now + step.delay;
  switch (step.how) {
    case How::kHeld:
      report(SessionState::kHeld,
             step.text +
                 " Nothing is lost: data is kept and sending is tried again from time to "
                 "time.",
             step.code);
      break;
    case How::kThrottled:
      report(SessionState::kThrottled, step.text, step.code);
      break;
    default:
      report(SessionState::kBackoff, step.text, step.code);
  }
}

void StreamSession::end() {
  phase_ = Phase::kEnded;
  report(SessionState::kStopped, "");
  actions_.push_back(Stopped{});
}

}  // namespace penstock::zerobus
