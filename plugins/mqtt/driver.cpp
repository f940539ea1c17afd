#include "plugins/mqtt/driver.h"

#include <stdexcept>
#include <utility>

#include "plugins/mqtt/filter_note.h"
#include "plugins/mqtt/reason_text.h"

namespace penstock::mqtt {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kRoomPoll{200};
constexpr milliseconds kAnswerGrace{2500};  // Paho notices what it was sent within a second or two
constexpr milliseconds kEndLimit{1500};     // the gate takes up to a second to part from the broker
constexpr seconds kSteady{10};  // a connection that lasts this long ends the growing of delays
// Clients with one id evict each other whenever one comes back, the longest delay at most later.
constexpr seconds kShortLived{40};
constexpr int kCutShort = 3;
constexpr seconds kAskAgain{60};  // for a refused subscription
// For an answer, when nothing at all comes any more: what the broker sends first may be large.
constexpr seconds kSilenceLimit{30};
constexpr uint64_t kMoreThanPings = 1000;  // bytes
// Sooner than this no broker is too slow.
constexpr seconds kTooSoon{10};
constexpr int kGivenUpInSilence = 3;
constexpr milliseconds kGivenUpRetry{50};
// Together less than the 3 s a plugin has to stop.
constexpr milliseconds kDrainLimit{1800};
constexpr milliseconds kDisconnectLimit{500};
constexpr milliseconds kHangUpLimit{400};

ProtocolChoice choice_for(const Settings& settings) {
  return settings.protocol ? ProtocolChoice(*settings.protocol) : ProtocolChoice();
}

}  // namespace

Driver::Driver(const sdk::Host& host, Parts parts)
    : host_(host),
      parts_(parts),
      choice_(choice_for(parts.settings)),
      delay_(parts.settings.retry_min, parts.settings.retry_max),
      password_(parts.settings.password),
      granted_(parts.settings.filters.size()) {}

Driver::~Driver() { shutdown(); }

void Driver::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    if (goodbye_ == Goodbye::kNo) goodbye_ = Goodbye::kNow;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Driver::start() {
  thread_ = std::thread([this] { run(); });
}

void Driver::quiesce() {
  const std::lock_guard lock(mutex_);
  quiesced_ = true;
}

void Driver::stop() {
  {
    const std::lock_guard lock(mutex_);
    goodbye_ = Goodbye::kPolite;
  }
  changed_.notify_all();
}

void Driver::look() { changed_.notify_all(); }

void Driver::session_ended(const SessionLedger& ledger, const SessionEnd& end) {
  {
    const std::lock_guard lock(mutex_);
    if (&ledger != current_) return;
    end_ = end;
    ended_at_ = Clock::now();
  }
  changed_.notify_all();
}

void Driver::run() {
  report(PENSTOCK_STATE_STARTING, "connecting to " + parts_.settings.server.text());
  auto note = decode_filter_note(host_.recall());
  if (note && note->client_id == parts_.settings.client_id) {
    remembered_ = std::move(note->filters);
    remembered_at_ = std::move(note->server);
  }
  // Of an earlier run: its CONNECT had been accepted. Another address may be another broker, which
  // has forgotten nothing, or the same, with the same session.
  session_expected_ = !remembered_.empty() &&
                      (remembered_at_.empty() || remembered_at_ == parts_.settings.server.text());
  while (wait_for_turn()) {
    if (connect()) watch();
    connected_ = false;
    const std::lock_guard lock(mutex_);
    if (goodbye_ != Goodbye::kNo) break;  // the link is needed for it
  }
  say_goodbye();
}

bool Driver::may_connect() {
  return Clock::now() >= retry_at_ && parts_.tap.open() && parts_.gate.room();
}

// False: it is time to say goodbye.
bool Driver::wait_for_turn() {
  link_.reset();
  std::unique_lock lock(mutex_);
  while (goodbye_ == Goodbye::kNo) {
    if (!quiesced_) {
      lock.unlock();
      const bool turn = may_connect();
      lock.lock();
      if (turn) return goodbye_ == Goodbye::kNo;
    }
    changed_.wait_until(lock, std::max(std::min(retry_at_, Clock::now() + kRoomPoll),
                                       Clock::now() + milliseconds(5)));
  }
  return false;
}

PahoLink::Handlers Driver::link_handlers() {
  PahoLink::Handlers handlers;
  handlers.message = [tap = &parts_.tap, ledger = ledger_](const IncomingMessage& message) {
    tap->deliver(*ledger, message);
  };
  handlers.lost = [this] {
    {
      const std::lock_guard lock(mutex_);
      lost_ = true;
    }
    changed_.notify_all();
  };
  return handlers;
}

// For a device that nobody is at. Until the broker refuses it the old one stays: the file may be
// ahead of the broker.
void Driver::renew_password() {
  auto fresh = host_.secret("password");
  if (fresh.empty() || fresh == password_) return;
  try {
    check_text("password", fresh);
    password_ = std::move(fresh);
    host_.log(PENSTOCK_LOG_INFO, "the password has changed since it was read; using the new one");
  } catch (const std::invalid_argument& problem) {
    if (std::exchange(password_problem_, problem.what()) != problem.what())
      host_.log(PENSTOCK_LOG_WARNING, "what is there now cannot be used: " + password_problem_);
  }
}

bool Driver::connect() {
  if (login_refused_) renew_password();
  attempt_at_ = Clock::now();
  ledger_ = std::make_shared<SessionLedger>(parts_.totals);
  {
    const std::lock_guard lock(mutex_);
    current_ = ledger_.get();
    end_.reset();
    lost_ = false;
  }
  parts_.gate.expect(ledger_);
  PahoLink::Connected result;
  try {
    link_ = std::make_unique<PahoLink>(parts_.settings, choice_.current(), parts_.gate.port(),
                                       link_handlers());
    result = link_->connect(password_, [this] { return should_abandon(); });
  } catch (const std::exception& problem) {
    result.detail = problem.what();
  }
  if (!result.ok) {
    explain_failure(result);
    return false;
  }
  given_up_ = 0;
  login_refused_ = false;
  choice_.worked();
  ++connections_;
  if (result.server_keepalive.count() > 0 && result.server_keepalive < parts_.settings.keepalive)
    parts_.gate.ping_within(result.server_keepalive);
  if (serve(result.session_present)) return true;
  explain_loss(Clock::now());
  return false;
}

bool Driver::should_abandon() {
  const std::lock_guard lock(mutex_);
  if (goodbye_ != Goodbye::kNo) return true;
  if (!end_) return false;
  // When the broker was reached, Paho may still have an answer of it to read.
  return end_->kind != EndKind::kBrokerClosed || Clock::now() - ended_at_ > kAnswerGrace;
}

void Driver::explain_failure(const PahoLink::Connected& result) {
  std::optional<SessionEnd> end;
  {
    std::unique_lock lock(mutex_);
    // Paho may have noticed first; the gate knows why, and whether the broker has said anything.
    if (result.refusal == 0)
      changed_.wait_for(lock, kEndLimit, [this] { return end_ || goodbye_ != Goodbye::kNo; });
    if (goodbye_ != Goodbye::kNo) return;
    end = end_;
  }
  // On a starved machine Paho may close its connection to the gate before the broker has said a
  // word. That says nothing of the broker, nor of its version.
  const bool gave_up = result.refusal == 0 && end && end->kind == EndKind::kClientGaveUp &&
                       Clock::now() - attempt_at_ < kTooSoon;
  if (gave_up && ++given_up_ <= kGivenUpInSilence) {
    retry_after(kGivenUpRetry);
    return;
  }
  given_up_ = 0;
  const Version tried = choice_.current();
  std::string why;
  if (result.refusal != 0) {
    if (is_version_refusal(result.refusal)) choice_.refused();
    login_refused_ = is_login_refusal(result.refusal);
    why = "the broker refuses: " + reason_text(tried, result.refusal);
  } else if (end && end->kind != EndKind::kBrokerClosed && end->kind != EndKind::kClientClosed &&
             end->kind != EndKind::kClientGaveUp) {
    why = end->text;
  } else {
    choice_.hung_up();
    why = end ? end->text : "the broker does not answer to CONNECT";
    if (!end && !result.detail.empty()) why += " (" + result.detail + ")";
  }
  if (tried == Version::kV5 && choice_.current() == Version::kV311) {
    retry_after(milliseconds(0));  // try the other version before saying anything
    return;
  }
  down("cannot connect to " + parts_.settings.server.text() + ": " + why);
  retry_after(next_delay());
}

bool Driver::serve(bool session_present) {
  session_was_lost_ = session_expected_ && !session_present;
  if (!session_present) {
    for (auto& granted : granted_) granted.reset();
    if (session_was_lost_) {
      ++sessions_lost_;
      host_.log(PENSTOCK_LOG_WARNING,
                "the broker has forgotten the session of client_id " + parts_.settings.client_id +
                    ": what was published while this input was away is lost (check the broker's "
                    "persistence and its session expiry)");
    }
  }
  if (!session_present) remembered_.clear();
  if (!end_removed_filters() || !subscribe()) return false;
  session_expected_ = true;
  connected_ = true;
  report_connected(session_present);
  return true;
}

// A filter that left the configuration would stay with the session, and the broker would queue for
// it for ever. What the session may hold is written down before it is asked for.
bool Driver::end_removed_filters() {
  const auto& filters = parts_.settings.filters;
  const auto removed = without(remembered_, filters);
  auto all = filters;
  all.insert(all.end(), removed.begin(), removed.end());
  remember(std::move(all));
  if (removed.empty()) return true;
  std::vector<std::string> refused;
  if (!link_->unsubscribe(removed, answer_overdue(), refused)) return false;
  for (const auto& filter : refused)
    host_.log(PENSTOCK_LOG_WARNING, "the broker does not end the subscription " + filter +
                                        ", which is not in the configuration any more");
  filters_removed_ += removed.size() - refused.size();
  auto left = filters;
  left.insert(left.end(), refused.begin(), refused.end());
  remember(std::move(left));
  return true;
}

void Driver::remember(std::vector<std::string> filters) {
  const auto server = parts_.settings.server.text();
  if (filters == remembered_ && server == remembered_at_) return;
  remembered_ = std::move(filters);
  remembered_at_ = server;
  host_.remember(encode_filter_note({parts_.settings.client_id, server, remembered_}));
}

// For the answer to a request: true once nothing but pings has come for too long.
PahoLink::Abandon Driver::answer_overdue() {
  return [this, seen = parts_.gate.counters().bytes_from_broker.load(),
          since = Clock::now()]() mutable {
    const uint64_t bytes = parts_.gate.counters().bytes_from_broker;
    if (bytes - seen > kMoreThanPings) {
      seen = bytes;
      since = Clock::now();
    }
    return should_abandon() || Clock::now() - since > kSilenceLimit;
  };
}

// Asks for what is not granted yet. After a reconnect to a present session that is nothing:
// subscribing again would make the broker send all retained messages once more.
bool Driver::subscribe() {
  std::vector<size_t> which;
  for (size_t i = 0; i < granted_.size(); ++i) {
    if (!granted_[i] || !granted_[i]->ok) which.push_back(i);
  }
  if (which.empty()) return true;
  const auto results = link_->subscribe(which, answer_overdue());
  if (!results) return false;
  for (size_t i = 0; i < which.size(); ++i) granted_[which[i]] = (*results)[i];
  return true;
}

void Driver::report_connected(bool session_present) {
  const Settings& settings = parts_.settings;
  const Version version = choice_.current();
  std::string text = "connected to " + settings.server.text() + ", protocol " +
                     version_name(version) +
                     (session_present ? ", session present" : ", new session");
  penstock_state state = PENSTOCK_STATE_UP;
  const auto add = [&](const std::string& problem) {
    state = PENSTOCK_STATE_DEGRADED;
    text += "; " + problem;
  };
  if (session_was_lost_) add("the broker had lost the session: messages may be missing");
  size_t refused = 0;
  for (size_t i = 0; i < granted_.size(); ++i) {
    const auto& granted = *granted_[i];
    const std::string what = "subscription " + settings.filters[i];
    if (!granted.ok) {
      ++refused;
      add(what + " refused: " + reason_text(version, granted.refusal));
    } else if (granted.qos < settings.qos[i]) {
      add(what + " granted with QoS 0 only: its messages cannot be held at the broker");
    }
  }
  if (refused == granted_.size()) state = PENSTOCK_STATE_DOWN;
  report(state, text);
}

// Until the session ends or the driver is told to stop.
void Driver::watch() {
  const auto since = Clock::now();
  while (true) {
    bool refused = false;
    for (const auto& granted : granted_) refused = refused || !granted->ok;
    {
      std::unique_lock lock(mutex_);
      const auto over = [this] { return goodbye_ != Goodbye::kNo || end_ || lost_; };
      const auto limit = Clock::now() + (refused ? kAskAgain : seconds(3600));
      if (changed_.wait_until(lock, limit, over)) {
        if (goodbye_ != Goodbye::kNo) return;
        break;
      }
    }
    if (!refused) continue;
    if (!subscribe()) break;
    report_connected(true);
  }
  explain_loss(since);
}

// Paho does not say why it gave the connection up: it waits for the answer to a ping for too long,
// or could not read what came.
bool Driver::ping_overdue() const {
  const int64_t since_us = parts_.gate.counters().unanswered_ping_us;
  const auto now =
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch());
  return since_us != 0 &&
         now - std::chrono::microseconds(since_us) >= parts_.settings.keepalive / 2;
}

void Driver::explain_loss(Clock::time_point since) {
  std::optional<SessionEnd> end;
  bool lost = false;
  const bool silence = ping_overdue();
  {
    std::unique_lock lock(mutex_);
    // Paho may have noticed first; the gate knows why.
    changed_.wait_for(lock, kEndLimit, [this] { return end_ || goodbye_ != Goodbye::kNo; });
    end = end_;
    lost = lost_;
    if (goodbye_ != Goodbye::kNo) return;
  }
  const auto dismissed = end ? end->dismissal : std::nullopt;
  const auto lived = Clock::now() - since;
  if (lived >= kSteady) delay_.reset();
  const bool cut = end && end->kind == EndKind::kBrokerClosed && !dismissed && lived < kShortLived;
  cut_short_ = cut ? cut_short_ + 1 : 0;
  const std::string server = parts_.settings.server.text();
  if (parts_.tap.closed()) {
    down("the agent takes no more records");
  } else if (ledger_->refused()) {
    down("no room in the spool: " + server + " keeps the messages until there is");
    retry_after(milliseconds(0));  // as soon as on_room says so
    return;
  } else if (!parts_.gate.room()) {
    down("more than max_unacked_bytes wait for the spool: " + server + " keeps the messages");
  } else if (dismissed) {
    down(server + " ended the session: " + reason_text(choice_.current(), *dismissed) +
         (*dismissed == kSessionTakenOver ? " " + parts_.settings.client_id : ""));
  } else if (end && end->kind != EndKind::kClientClosed) {
    down("lost " + server + ": " + end->text + rival_question());
  } else if ((lost || end) && !silence) {
    ++unreadable_;
    down("lost " + server + ": the broker sent a packet that the client library cannot read");
  } else {
    down("lost " + server + ": no answer within the keep-alive time");
  }
  retry_after(next_delay());
}

// A broker ends a session when another client comes with the same client_id, and with 3.1.1 it does
// not say so.
std::string Driver::rival_question() const {
  if (cut_short_ < kCutShort) return "";
  return ", time and again soon after connecting: does another client use client_id " +
         parts_.settings.client_id + "?";
}

// Acknowledgements first, DISCONNECT behind them; or, when the spool does not get there, just hang
// up: the broker sends again what it has no PUBACK for.
void Driver::say_goodbye() {
  bool polite = false;
  bool alive = false;
  {
    const std::lock_guard lock(mutex_);
    polite = goodbye_ == Goodbye::kPolite;
    alive = link_ && !end_ && !lost_;
  }
  if (polite && alive) {
    parts_.gate.pause();
    if (parts_.gate.wait_idle(true, kDrainLimit)) {
      link_->disconnect(kDisconnectLimit);
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kHangUpLimit, [this] { return end_.has_value(); });
    }
  }
  {
    const std::lock_guard lock(mutex_);
    current_ = nullptr;
  }
  parts_.gate.shutdown();
  link_.reset();
  connected_ = false;
  if (polite) report(PENSTOCK_STATE_STOPPED, "stopped");
}

void Driver::report(penstock_state state, const std::string& text) {
  if (reported_ && reported_->first == state && reported_->second == text) return;
  reported_ = {state, text};
  host_.set_state(state, text);
}

void Driver::down(const std::string& text) { report(PENSTOCK_STATE_DOWN, text); }

void Driver::retry_after(milliseconds delay) { retry_at_ = Clock::now() + delay; }

milliseconds Driver::next_delay() {
  return delay_.next(std::uniform_real_distribution<double>(0, 1)(random_));
}

}  // namespace penstock::mqtt
