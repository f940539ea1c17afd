// Transitions by event. What is decided when a stream has ended is in session_end.cpp.
#include "agent/zerobus/session.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace penstock::zerobus {
namespace {

constexpr int kNoCode =
    -1;  // causes without a gRPC status: told apart by their text, which is ours
// One on its way, others to follow it without the driver's thread: DESIGN.md has the figures.
constexpr int kMaxWrites = 4;

Failure trouble(std::string text) {
  return {ErrorKind::kTransient, kNoCode, std::move(text), {}, Failure::End::kFailed};
}

std::string_view cause_of(OpenStep step) {
  switch (step) {
    case OpenStep::kSchema:
      return "the workspace did not describe the table (workspace_url)";
    case OpenStep::kToken:
      return "no access token came from the workspace (workspace_url)";
    case OpenStep::kService:
      break;
  }
  return "the service cannot be reached or does not answer";
}

std::string seconds_text(Millis time) { return std::to_string((time.count() + 999) / 1000) + " s"; }

}  // namespace

std::string_view to_string(SessionState state) {
  switch (state) {
    case SessionState::kStopped:
      return "stopped";
    case SessionState::kIdle:
      return "idle";
    case SessionState::kConnecting:
      return "connecting";
    case SessionState::kStreaming:
      return "streaming";
    case SessionState::kBackoff:
      return "backoff";
    case SessionState::kThrottled:
      return "throttled";
    case SessionState::kHeld:
      return "held";
    case SessionState::kDraining:
      return "draining";
  }
  return "unknown";
}

StreamSession::StreamSession(const SessionConfig& config, std::shared_ptr<OpenRate> opens)
    : config_(config),
      retry_(config.retry),
      bisector_(config.poison_limit),
      open_rate_(opens ? std::move(opens)
                       : std::make_shared<OpenRate>(config.search_opens_per_min)),
      batch_limit_(std::min(config.batch_bytes, config.in_flight_bytes)) {}

bool StreamSession::live() const {
  return phase_ == Phase::kOpening || phase_ == Phase::kOpen || phase_ == Phase::kPaused ||
         phase_ == Phase::kDraining;
}

bool StreamSession::current(uint64_t generation) const {
  return live() && generation == generation_;
}

bool StreamSession::wants_nothing() const { return !data_ && !want_outstanding_ && !prepared_; }

Actions StreamSession::start(const Moment& at, uint64_t acked_seq) {
  if (phase_ != Phase::kNotStarted) return {};
  acked_seq_ = acked_seq;
  phase_ = Phase::kNoStream;
  settle(at, {});
  return finish();
}

Actions StreamSession::data_available(const Moment& at) {
  data_ = true;
  data_since_want_ = want_outstanding_;
  if (phase_ == Phase::kNoStream && !hold_) open_or_wait(at);
  if (phase_ == Phase::kOpen) pump(at);
  return finish();
}

Actions StreamSession::batch_ready(const Moment& at, uint64_t generation, const BatchInfo& batch) {
  if (!current(generation) || !want_outstanding_) return {};
  want_outstanding_ = false;
  prepared_ = batch;
  busy_ = at.now;
  if (phase_ == Phase::kOpen) pump(at);
  return finish();
}

Actions StreamSession::no_data(const Moment& at, uint64_t generation) {
  if (!current(generation) || !want_outstanding_) return {};
  want_outstanding_ = false;
  if (want_until_ == Bisector::kNoBound) {
    data_ = data_since_want_;
  } else {
    bisector_.nothing_until(want_until_);  // there may be something behind it
  }
  if (at_rest()) trouble_over();
  leave_if_due(at);
  if (phase_ == Phase::kOpen) pump(at);
  return finish();
}

// Unlike no_data it says nothing of the records, and ends no trouble.
Actions StreamSession::not_now(const Moment& at, uint64_t generation) {
  if (!current(generation) || !want_outstanding_) return {};
  want_outstanding_ = data_since_want_ = data_ = false;
  put_off_ = true;
  leave_if_due(at);
  return finish();
}

Actions StreamSession::response(const Moment& at, uint64_t generation, const Response& response) {
  if (!current(generation)) return {};
  heard_ = at.now;
  if (const auto* created = std::get_if<StreamCreated>(&response)) {
    on_created(at, *created);
  } else if (std::holds_alternative<UnknownResponse>(response)) {
    // Something newer than we are; that the server lives is all it tells us.
  } else if (phase_ == Phase::kOpening) {
    abandon(at, trouble("the server answered the create request with another message"));
  } else if (const auto* ack = std::get_if<Ack>(&response)) {
    on_ack(at, *ack);
  } else {
    on_close_signal(at, std::get<CloseSignal>(response));
  }
  return finish();
}

void StreamSession::on_created(const Moment& at, const StreamCreated& created) {
  if (phase_ != Phase::kOpening) {
    abandon(at, trouble("the server answered the create request twice"));
    return;
  }
  phase_ = Phase::kOpen;
  opened_ = at.now;
  stream_id_ = printable(created.stream_id);
  busy_ = at.now;
  // Servers that take a stream and no data are not what ends a trouble.
  if (!is_trouble(state_)) report_open();
  pump(at);
}

Actions StreamSession::queued(const Moment&, uint64_t generation) {
  if (!current(generation) || phase_ != Phase::kOpening) return {};
  takes_turns_ = true;
  phase_deadline_ = MonoTime::max();
  text_ = "waiting for another table to end its stream (max_streams)";
  return finish();
}

Actions StreamSession::turn(const Moment& at, uint64_t generation) {
  if (!current(generation) || phase_ != Phase::kOpening) return {};
  phase_deadline_ = at.now + config_.open_timeout;
  return finish();
}

Actions StreamSession::leave(const Moment& at) {
  if (phase_ != Phase::kOpen) return {};
  leaving_ = takes_turns_ = true;
  leave_if_due(at);
  return finish();
}

// A turn without an acknowledgement would be none; that it comes is for the ack timeout.
void StreamSession::leave_if_due(const Moment& at) {
  if (!leaving_ || phase_ != Phase::kOpen) return;
  if (!window_.delivered() && !at_rest()) return;
  close_in_order(at);
}

void StreamSession::close_in_order(const Moment& at) {
  own_close_ = true;
  if (window_.empty()) return drain(at);
  pause(at.now + config_.drain_timeout);
}

Actions StreamSession::renew(const Moment& at) {
  if (phase_ == Phase::kOpen) close_in_order(at);
  return finish();
}

void StreamSession::on_ack(const Moment& at, const Ack& ack) {
  auto released = window_.ack(ack.up_to);
  if (!released) {
    abandon(at, trouble(std::move(released).error().what));
    return;
  }
  if (!*released) return;
  busy_ = at.now;
  acked_seq_ = **released;
  actions_.push_back(Release{acked_seq_});
  retry_.delivered();
  bisector_.released(acked_seq_);
  batch_limit_.delivered();
  progressed_ = at.now;
  trouble_over();
  leave_if_due(at);
  if (phase_ == Phase::kOpen) pump(at);
  end_if_all_acked(at);
}

void StreamSession::end_if_all_acked(const Moment& at) {
  if (!window_.empty()) return;
  if (phase_ == Phase::kPaused) drain(at);
  if (phase_ == Phase::kDraining) {
    phase_deadline_ = std::min(phase_deadline_, at.now + config_.end_timeout);
  }
}

void StreamSession::on_close_signal(const Moment& at, const CloseSignal& signal) {
  rotating_ = true;
  if (phase_ == Phase::kDraining) return;
  if (window_.empty() || signal.grace <= Millis(0)) {
    drain(at);
    return;
  }
  pause(at.now + signal.grace);
}

Actions StreamSession::bad_response(const Moment& at, uint64_t generation, const Error& error) {
  if (!current(generation)) return {};
  abandon(at, trouble(error.what));
  return finish();
}

Actions StreamSession::writes_done(const Moment& at, uint64_t generation, size_t count) {
  if (!current(generation)) return {};
  writes_ -= std::min(writes_, static_cast<int>(count));
  if (phase_ == Phase::kOpen) pump(at);
  return finish();
}

Actions StreamSession::taken_back(const Moment& at, uint64_t generation, size_t count) {
  if (!current(generation) || count == 0) return {};
  window_.take_back(count);
  data_ = true;  // for the next stream
  writes_ -= std::min(writes_, static_cast<int>(count));
  end_if_all_acked(at);
  return finish();
}

Actions StreamSession::closed(const Moment& at, uint64_t generation, const Status& status) {
  if (!current(generation)) return {};
  stream_ended(at, judge(status), status);
  return finish();
}

Actions StreamSession::open_failed(const Moment& at, uint64_t generation, const Error& error) {
  if (!current(generation) || phase_ != Phase::kOpening) return {};
  const bool denied = error.kind == ErrorKind::kDenied || error.kind == ErrorKind::kRejected;
  const ErrorKind kind = denied                                ? ErrorKind::kDenied
                         : error.kind == ErrorKind::kThrottled ? ErrorKind::kThrottled
                                                               : ErrorKind::kTransient;
  const Failure failure{kind, kNoCode, error.what, error.retry_after, Failure::End::kFailed};
  stream_ended(at, failure, {});
  return finish();
}

void StreamSession::opening(uint64_t generation, OpenStep step) {
  if (current(generation) && phase_ == Phase::kOpening) step_ = step;
}

Actions StreamSession::timer(const Moment& at) {
  armed_ = MonoTime::max();  // whatever was armed has fired
  if (at.now >= deadline()) on_deadline(at);
  return finish();
}

Actions StreamSession::stop(const Moment& at) {
  if (stopping_ || phase_ == Phase::kEnded) return {};
  stopping_ = true;
  if (phase_ == Phase::kOpening) {
    abandon(at, trouble("stopping"));
  } else if (!live()) {
    end();
  } else {
    report(SessionState::kDraining, "stopping; waiting for late acknowledgements");
    if (phase_ != Phase::kDraining) drain(at);
  }
  return finish();
}

Actions StreamSession::hold(const Moment& at, std::string reason,
                            std::optional<Millis> resume_after) {
  if (stopping_ || phase_ == Phase::kEnded) return {};
  hold_ = std::move(reason);
  hold_until_ = resume_after ? at.now + held_delay(*resume_after, at.random) : MonoTime::max();
  if (phase_ == Phase::kNotStarted) return {};
  report(SessionState::kHeld, *hold_, kNoCode);
  own_close_ = true;
  if (phase_ == Phase::kOpening) {
    abandon(at, trouble("held"));
  } else if (phase_ == Phase::kWaiting) {
    phase_ = Phase::kNoStream;
  } else if (phase_ == Phase::kOpen || phase_ == Phase::kPaused) {
    drain(at);
  }
  return finish();
}

void StreamSession::open(const Moment& at) {
  ++generation_;
  owed_.reset();
  window_ = AckWindow();
  stream_id_.clear();
  writes_ = 0;
  rotating_ = own_close_ = leaving_ = false;
  phase_ = Phase::kOpening;
  step_ = OpenStep::kService;
  phase_deadline_ = at.now + config_.open_timeout;
  // Attempts after a failure, and the reopening of a rotated stream, are not news.
  if (state_ == SessionState::kIdle || state_ == SessionState::kStopped) {
    report(SessionState::kConnecting, "opening a stream");
  }
  open_rate_->opened(at.now, bisector_.searching());
  search_waits_since_.reset();
  actions_.push_back(Open{generation_});
}

// The batch that is larger than everything allowed goes alone.
bool StreamSession::may_write(const BatchInfo& batch) const {
  if (writes_ == kMaxWrites) return false;
  if (window_.empty()) return true;
  return !bisector_.searching() && window_.bytes() + batch.bytes <= config_.in_flight_bytes;
}

bool StreamSession::may_ask() const {
  if (!data_ || want_outstanding_ || prepared_) return false;
  if (window_.empty()) return true;
  return !bisector_.searching() &&
         window_.bytes() + batch_limit_.bytes() <= config_.in_flight_bytes;
}

void StreamSession::pump(const Moment& at) {
  if (prepared_ && may_write(*prepared_)) {
    if (window_.empty()) heard_ = progressed_ = at.now;
    busy_ = at.now;
    const BatchInfo batch = *std::exchange(prepared_, std::nullopt);
    ++writes_;
    actions_.push_back(Write{generation_, window_.sent(batch), batch});
  }
  if (may_ask()) {
    want_outstanding_ = handed_out_ = true;
    data_since_want_ = put_off_ = false;
    want_until_ = bisector_.until();
    actions_.push_back(WantBatch{generation_, batch_limit_.bytes(), want_until_});
  }
}

void StreamSession::pause(MonoTime deadline) {
  phase_ = Phase::kPaused;
  phase_deadline_ = deadline;
  take_back();
}

void StreamSession::take_back() {
  if (writes_ > 1) actions_.push_back(TakeBack{generation_});
}

void StreamSession::drain(const Moment& at) {
  take_back();
  phase_ = Phase::kDraining;
  phase_deadline_ = at.now + (window_.empty() ? std::min(config_.end_timeout, config_.drain_timeout)
                                              : config_.drain_timeout);
  actions_.push_back(HalfClose{generation_});
}

MonoTime StreamSession::watchdog() const {
  return std::min(heard_ + config_.ack_timeout, progressed_ + config_.progress_timeout);
}

MonoTime StreamSession::deadline() const {
  const bool owed = !window_.empty() || writes_ > 0;
  switch (phase_) {
    case Phase::kWaiting:
    case Phase::kOpening:
    case Phase::kDraining:
      return phase_deadline_;
    case Phase::kPaused:
      return std::min(phase_deadline_, watchdog());
    case Phase::kOpen:
      if (owed) return watchdog();
      return wants_nothing() ? busy_ + config_.idle_close : MonoTime::max();
    case Phase::kNoStream:
      return hold_ ? hold_until_ : MonoTime::max();
    default:
      return MonoTime::max();
  }
}

void StreamSession::on_deadline(const Moment& at) {
  switch (phase_) {
    case Phase::kWaiting:
      search_or_open(at);
      break;
    case Phase::kNoStream:
      end_hold(at);
      break;
    case Phase::kOpening:
      abandon(at, trouble(fmt::format("no stream within {}: {}", seconds_text(config_.open_timeout),
                                      cause_of(step_))));
      break;
    case Phase::kDraining:
      abandon(at, judge({code::kOk, {}}));
      break;
    default:
      on_open_deadline(at);
  }
}

void StreamSession::on_open_deadline(const Moment& at) {
  if (phase_ == Phase::kPaused && at.now >= phase_deadline_) {
    drain(at);
  } else if (window_.empty() && writes_ == 0) {
    own_close_ = true;
    drain(at);
  } else {
    batch_limit_.timed_out();
    const bool silent = at.now >= heard_ + config_.ack_timeout;
    abandon(at,
            trouble(silent ? "the server said nothing for " + seconds_text(config_.ack_timeout) +
                                 " while data was unacknowledged"
                           : "the server sent messages but acknowledged nothing new for " +
                                 seconds_text(config_.progress_timeout)));
  }
}

// A hold is not the stream's.
void StreamSession::trouble_over() {
  if (is_trouble(state_) && !hold_) report_open();
}

void StreamSession::report_open() {
  report(SessionState::kStreaming, "stream " + stream_id_ + " is open");
}

void StreamSession::report(SessionState state, std::string text, int cause) {
  const auto routine = [](SessionState one) {
    return one == SessionState::kIdle || one == SessionState::kConnecting ||
           one == SessionState::kStreaming;
  };
  const bool turns = takes_turns_ && routine(state) && routine(state_);
  const bool news = !turns && (state != state_ || cause != cause_ || (cause < 0 && text != text_));
  state_ = state;
  cause_ = cause;
  text_ = std::move(text);
  if (news) actions_.push_back(Report{state_, text_});
}

SessionSnapshot StreamSession::snapshot() const {
  SessionSnapshot out{
      state_, text_, generation_, stream_id_, 0, 0, retry_.failures(), bisector_.in_a_row(), {}};
  if (live()) {
    out.unacked_batches = window_.count();
    out.unacked_bytes = window_.bytes();
  }
  if (phase_ == Phase::kWaiting) out.retry_at = phase_deadline_;
  if (hold_ && hold_until_ != MonoTime::max()) out.retry_at = hold_until_;
  return out;
}

// The timer is re-armed only to fire earlier: one that fires too early costs a wake-up, re-arming
// it on every ack more.
Actions StreamSession::finish() {
  const MonoTime due = deadline();
  if (phase_ == Phase::kEnded ? armed_ != MonoTime::max() : due < armed_) {
    armed_ = due;
    const Action arm = Arm{due};
    // Stopped stays last.
    const bool ended = !actions_.empty() && std::holds_alternative<Stopped>(actions_.back());
    actions_.insert(actions_.end() - (ended ? 1 : 0), arm);
  }
  return std::exchange(actions_, {});
}

}  // namespace penstock::zerobus
