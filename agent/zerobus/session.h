// StreamSession: the life of one lane's stream, as a pure state machine. It decides; a driver acts.
//
// Owner and thread: one lane driver, on one thread. No I/O, clock, thread or random of its own:
// every event brings the time and a random number, and returns what to do, in order. Batches are
// described to it, never owned by it.
//
// True on return of every event:
// - at most four Writes of a generation are without their writes_done, at most one WantBatch is
// unanswered;
// - bytes written and unacknowledged stay within in_flight_bytes, but for a single batch that is
// larger alone;
// - Release covers exactly what the server acknowledged on the current generation, and never goes
// back;
// - a Rewind follows every stream that was asked for batches, so nothing unacknowledged is left
// behind, but for a record that Poison names;
// - unless held, idle, queued or stopped, there is always a deadline armed or an action under way:
// it never gives up. Events of older generations are ignored, whatever they say.
//
// Protocol facts: acks are cumulative per stream, offsets begin at 0 on each, the service ends
// every stream after about 15 minutes with a close signal, and acknowledges what it has even after
// our half-close.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/result.h"
#include "agent/zerobus/ack_window.h"
#include "agent/zerobus/batch_limit.h"
#include "agent/zerobus/bisector.h"
#include "agent/zerobus/open_rate.h"
#include "agent/zerobus/retry.h"
#include "agent/zerobus/status.h"
#include "agent/zerobus/wire.h"

namespace penstock::zerobus {

struct SessionConfig {
  // From Open to the create response: schema, token, name lookup, connection, TLS, create.
  Millis open_timeout{15'000};
  Millis ack_timeout{60'000};        // of silence while something is unacknowledged
  Millis progress_timeout{300'000};  // without a new acknowledgement then, whatever the server says
  Millis idle_close{120'000};        // a stream with nothing to send is closed after this
  Millis drain_timeout{5'000};       // after a half-close, for late acks
  Millis end_timeout{
      500};  // after a half-close with everything acknowledged, for the server's end of stream
  size_t in_flight_bytes = 4 << 20;
  size_t batch_bytes = 256 << 10;  // the next batch is asked for once this much room is there
  int poison_limit = 20;           // more records refused in a row than this: hold, keep them
  int search_opens_per_min = 30;   // streams opened in any minute while looking for refused records
  RetryConfig retry;
};

enum class SessionState {
  kStopped,     // not started, or the end
  kIdle,        // no stream, nothing to send
  kConnecting,  // first attempt; later ones stay in the state that caused them
  kStreaming,
  kBackoff,    // trouble that passes: connection, server
  kThrottled,  // the service asked us to slow down
  kHeld,       // a person has to act, or hold() was called; data is kept
  kDraining,   // no more writes; taking late acks
};
// What an Open waits for, as far as it is not the service.
enum class OpenStep { kSchema, kToken, kService };
std::string_view to_string(SessionState state);
constexpr bool is_trouble(SessionState state) {
  return state == SessionState::kBackoff || state == SessionState::kThrottled ||
         state == SessionState::kHeld;
}

// When an event happened, and a random number in [0, 1) in case a delay has to be drawn.
struct Moment {
  MonoTime now;
  double random = 0;
};

// Get a token and open a stream under this number; answer with response(StreamCreated), closed or
// open_failed.
struct Open {
  uint64_t generation = 0;
};
// Prepare the batch after the last one given (after `from_seq` of a Rewind: from there), not larger
// than `max_bytes` unless its first record alone is, and with no record beyond `until_seq`. Answer
// with batch_ready, at once or after a linger, or with no_data, or with not_now. With a bound there
// is no linger, and no_data means that no record up to it has a row to send.
struct WantBatch {
  uint64_t generation = 0;
  size_t max_bytes = 0;
  uint64_t until_seq = Bisector::kNoBound;
};
// Send the batch given last. The driver keeps it only until gRPC has it.
struct Write {
  uint64_t generation = 0;
  int64_t offset = 0;
  BatchInfo batch;
};
// Writes that have not begun are not to be made: no request after the end of a stream was
// announced. taken_back() says how many. What was in them follows the Rewind at the end of the
// stream.
struct TakeBack {
  uint64_t generation = 0;
};
struct HalfClose {
  uint64_t generation = 0;
};
// Also stops a token request of this generation. Nothing more is expected from it.
struct Cancel {
  uint64_t generation = 0;
};
// Every record of the lane up to here is acknowledged (or had no row to send).
struct Release {
  uint64_t up_to_seq = 0;
};
// Forget the prepared batch and any WantBatch; the next begins at the first record at or after
// `from_seq` that still needs sending.
struct Rewind {
  uint64_t from_seq = 0;
};
// The one timer: call timer() at `at`; replaces the previous. MonoTime::max() means none.
struct Arm {
  MonoTime at;
};
// A change of state, for log and status. Repeated failures of one kind are reported once: a stream
// that opens in between ends a trouble only with its first acknowledgement, or when there is
// nothing to send.
struct Report {
  SessionState state = SessionState::kStopped;
  std::string text;
};
// The server refused data, one of these records, or may have (status.unread); nothing of them is
// released. The search begins.
struct Rejected {
  uint64_t first_seq = 0;
  uint64_t last_seq = 0;
  Status status;
};
// This record is the one: the server refused it alone. It is never sent again; every record before
// it is acknowledged or had no row to send. To be put where a person finds it, before anything else
// is done.
struct Poison {
  uint64_t seq = 0;
  Status status;
};
// The token was refused: get a new one for the next Open (it may follow at once).
struct DropToken {};
// The last action ever; the session ignores everything from here on.
struct Stopped {};

using Action = std::variant<Open, WantBatch, Write, TakeBack, HalfClose, Cancel, Release, Rewind,
                            Arm, Report, Rejected, Poison, DropToken, Stopped>;
using Actions = std::vector<Action>;

// For status pages.
struct SessionSnapshot {
  SessionState state = SessionState::kStopped;
  std::string text;  // of the last Report
  uint64_t generation = 0;
  std::string stream_id;  // of the open stream, cut and cleaned
  size_t unacked_batches = 0;
  size_t unacked_bytes = 0;
  int failures = 0;                  // in a row, since the last ack
  int poison_in_a_row = 0;           // records named by Poison since the last ack
  std::optional<MonoTime> retry_at;  // while waiting for the next attempt
};

class StreamSession {
 public:
  // `opens`: shared by the sessions of one table; null: this is the only one.
  explicit StreamSession(const SessionConfig& config, std::shared_ptr<OpenRate> opens = nullptr);

  // Once, first. Every record up to `acked_seq` has been acknowledged before. Nothing is opened
  // until data_available.
  Actions start(const Moment& at, uint64_t acked_seq);
  // There is something to send that was not there at the last no_data, or what not_now was said of
  // can be prepared. Cheap; call it as often as you like.
  Actions data_available(const Moment& at);
  Actions batch_ready(const Moment& at, uint64_t generation, const BatchInfo& batch);
  Actions no_data(const Moment& at, uint64_t generation);
  // The batch cannot be prepared, and not soon: no stream is kept or opened for it until
  // data_available.
  Actions not_now(const Moment& at, uint64_t generation);

  Actions response(const Moment& at, uint64_t generation, const Response& response);
  Actions bad_response(const Moment& at, uint64_t generation, const Error& error);
  Actions writes_done(const Moment& at, uint64_t generation, size_t count);
  // The newest `count` writes, which will have no writes_done.
  Actions taken_back(const Moment& at, uint64_t generation, size_t count);
  Actions closed(const Moment& at, uint64_t generation, const Status& status);
  // The stream of this Open has to wait for others to end theirs; its time to open counts from
  // turn().
  Actions queued(const Moment& at, uint64_t generation);
  Actions turn(const Moment& at, uint64_t generation);
  // Others wait for a stream: this one is closed in order once it has an acknowledgement or nothing
  // to wait for, and what there is to send asks for another. Both are no news.
  Actions leave(const Moment& at);
  // The rows are to have another form: the stream is closed in order, and what there is to send
  // asks for another. No news.
  Actions renew(const Moment& at);
  // The stream could not even be started: no token, no schema. The error's kind decides what
  // follows.
  Actions open_failed(const Moment& at, uint64_t generation, const Error& error);
  // The driver is at this step of the Open, which is named when its time is over.
  void opening(uint64_t generation, OpenStep step);
  // Until it is said otherwise: the table could not be asked for since the service refused data.
  // While that is so no record is named by Poison; the search waits, with backoff.
  void doubt_schema(bool in_doubt) { schema_in_doubt_ = in_doubt; }

  // At or after the armed time; earlier calls do no harm.
  Actions timer(const Moment& at);

  // Half-closes, takes late acks for up to drain_timeout, then Stopped. Repeating it does nothing.
  Actions stop(const Moment& at);
  // Closes the stream in order and keeps everything until resume(), which comes by itself after
  // `resume_after` (+-20 %, drawn) if that is given. hold + resume also reopens with new settings.
  Actions hold(const Moment& at, std::string reason, std::optional<Millis> resume_after = {});
  // Ends a hold, and the wait of a backoff or held state: the next attempt is made now.
  Actions resume(const Moment& at);

  SessionSnapshot snapshot() const;
  bool open() const { return phase_ == Phase::kOpen; }
  // Open, with nothing to send and nothing to wait for.
  bool at_rest() const { return open() && wants_nothing() && window_.empty() && writes_ == 0; }

 private:
  enum class Phase {
    kNotStarted,
    kNoStream,
    kWaiting,
    kOpening,
    kOpen,
    kPaused,
    kDraining,
    kEnded
  };

  bool live() const;                        // a stream exists
  bool current(uint64_t generation) const;  // an event of the stream that exists
  bool wants_nothing() const;               // no record is known that should be sent
  bool may_write(const BatchInfo& batch) const;
  bool may_ask() const;
  MonoTime deadline() const;  // max(): nothing is due
  MonoTime watchdog() const;  // while something is unacknowledged

  void trouble_over();
  void report_open();
  void on_created(const Moment& at, const StreamCreated& created);
  void on_ack(const Moment& at, const Ack& ack);
  void end_if_all_acked(const Moment& at);
  void on_close_signal(const Moment& at, const CloseSignal& signal);
  void on_deadline(const Moment& at);
  void on_open_deadline(const Moment& at);

  void open(const Moment& at);
  void open_or_wait(const Moment& at);
  void pump(const Moment& at);  // writes and asks for batches as far as the rules allow
  void leave_if_due(const Moment& at);
  void close_in_order(const Moment& at);
  void pause(MonoTime deadline);                    // sends nothing more, waits for acks
  void drain(const Moment& at);                     // half-closes and waits for late acks
  void take_back();                                 // what waits behind the write under way
  void abandon(const Moment& at, Failure failure);  // cancels, then stream_ended
  void stream_ended(const Moment& at, Failure failure, const Status& status);
  Failure judge(const Status& status) const;
  // What follows refused data; nothing when it is an ordinary failure after all.
  std::optional<RetryStep> judge_rejection(const Moment& at, Failure& failure,
                                           const Status& status);
  void suspect(const Moment& at, Failure& failure, const Status& status);
  void end_hold(const Moment& at);
  Millis wait_for_search(const Moment& at);
  void search_or_open(const Moment& at);
  void rewind();
  void settle(const Moment& at, const RetryStep& step);  // decides what follows a stream's end
  void wait(const Moment& at, const RetryStep& step);
  void end();
  void report(SessionState state, std::string text, int cause = 0);
  Actions finish();  // arms the timer if needed and hands out what was decided

  const SessionConfig config_;
  RetryPolicy retry_;
  Bisector bisector_;
  const std::shared_ptr<OpenRate> open_rate_;
  BatchLimit batch_limit_;
  std::optional<MonoTime> search_waits_since_;

  Phase phase_ = Phase::kNotStarted;
  bool stopping_ = false;
  std::optional<std::string> hold_;
  MonoTime hold_until_ = MonoTime::max();

  // The stream.
  uint64_t generation_ = 0;
  std::string stream_id_;
  AckWindow window_;
  int writes_ = 0;            // not reported as done
  bool rotating_ = false;     // the server announced the end of this stream
  bool own_close_ = false;    // we close it: idle, held, or others wait
  bool leaving_ = false;      // others wait
  bool takes_turns_ = false;  // streams come and go without news
  bool schema_in_doubt_ = false;
  OpenStep step_ = OpenStep::kService;
  MonoTime opened_;  // when the server took the stream
  // While there is nothing to send: until when what comes then has to wait, and why.
  struct OwedPause {
    MonoTime until;
    RetryStep step;
  };
  std::optional<OwedPause> owed_;
  MonoTime phase_deadline_;  // open timeout, pause, drain, or the next attempt
  MonoTime heard_;           // last sign of life, or when the window last began to fill
  MonoTime progressed_;      // last acknowledgement, or when the window last began to fill
  MonoTime busy_;            // last time there was something to send

  // Batches.
  uint64_t acked_seq_ = 0;
  uint64_t unread_at_ = 0;  // first unacknowledged record when a stream last ended unread
  bool data_ = false;       // the driver may have more
  bool put_off_ = false;    // it has, but cannot prepare it
  bool want_outstanding_ = false;
  uint64_t want_until_ = Bisector::kNoBound;
  bool data_since_want_ = false;
  bool handed_out_ = false;  // WantBatch was used since the last Rewind
  std::optional<BatchInfo> prepared_;

  MonoTime armed_ = MonoTime::max();
  SessionState state_ = SessionState::kStopped;
  std::string text_;
  int cause_ = 0;
  Actions actions_;
};

}  // namespace penstock::zerobus
