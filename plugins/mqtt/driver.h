// Keeps one MQTT input connected: connects through the gate, subscribes, watches, connects again
// with growing, jittered delays, never giving up; says goodbye in order at the end. Reports every
// change of state to the host, once.
//
// Owns a thread, the only one that calls Paho's functions; Paho's callbacks and the gate only leave
// notes for it. It is also the only one that reports states.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "plugins/mqtt/ack_gate.h"
#include "plugins/mqtt/message_tap.h"
#include "plugins/mqtt/paho_link.h"
#include "plugins/mqtt/protocol_choice.h"
#include "plugins/mqtt/retry_delay.h"
#include "plugins/mqtt/settings.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::mqtt {

class Driver {
 public:
  // All outlive the driver. The gate is started.
  struct Parts {
    const Settings& settings;
    const EmitTotals& totals;
    AckGate& gate;
    MessageTap& tap;
  };

  Driver(const sdk::Host& host, Parts parts);
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  ~Driver();

  void start();
  void quiesce();  // no new connection from now on
  void stop();     // returns at once; STOPPED is reported within 3 s
  // Waits for the thread, which shuts the gate down; without a goodbye if stop was not called.
  void shutdown();
  void look();  // something changed that it may be waiting for (room)
  void session_ended(const SessionLedger& ledger, const SessionEnd& end);  // gate's thread

  uint64_t connections() const { return connections_.load(); }
  uint64_t sessions_lost() const { return sessions_lost_.load(); }
  uint64_t filters_removed() const { return filters_removed_.load(); }
  // Sessions the client library ended because it could not read what the broker had sent.
  uint64_t unreadable() const { return unreadable_.load(); }
  bool connected() const { return connected_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Goodbye { kNo, kPolite, kNow };

  void run();
  bool wait_for_turn();
  bool may_connect();
  PahoLink::Handlers link_handlers();  // of the session in ledger_
  bool connect();
  void renew_password();
  void explain_failure(const PahoLink::Connected& result);
  bool serve(bool session_present);  // false: the connection did not live to be used
  bool subscribe();
  bool end_removed_filters();
  void remember(std::vector<std::string> filters);
  PahoLink::Abandon answer_overdue();
  void report_connected(bool session_present);
  void watch();
  bool ping_overdue() const;
  void explain_loss(Clock::time_point since);
  std::string rival_question() const;
  void say_goodbye();
  bool should_abandon();
  void report(penstock_state state, const std::string& text);
  void down(const std::string& text);
  void retry_after(std::chrono::milliseconds delay);
  std::chrono::milliseconds next_delay();

  const sdk::Host host_;
  const Parts parts_;
  PahoKeeper keeper_;
  std::atomic<uint64_t> connections_{0};
  std::atomic<uint64_t> sessions_lost_{0};
  std::atomic<uint64_t> filters_removed_{0};
  std::atomic<uint64_t> unreadable_{0};
  std::atomic<bool> connected_{false};

  // The driver's thread only
  ProtocolChoice choice_;
  RetryDelay delay_;
  Clock::time_point attempt_at_{};
  std::optional<std::string> password_;
  std::string password_problem_;  // as said last
  bool login_refused_ = false;    // by the last answer to a CONNECT
  int cut_short_ = 0;             // sessions in a row that the broker ended soon, without a reason
  int given_up_ = 0;              // by Paho, in a row, without a word of the broker
  std::mt19937_64 random_{std::random_device{}()};
  Clock::time_point retry_at_{};
  std::shared_ptr<SessionLedger> ledger_;
  std::unique_ptr<PahoLink> link_;
  std::vector<std::optional<PahoLink::Granted>> granted_;  // for each filter; empty: not asked yet
  std::vector<std::string> remembered_;  // what the session at the broker may hold
  std::string remembered_at_;            // the server the note names
  bool session_expected_ = false;        // there has been one, in this run or before
  bool session_was_lost_ = false;
  std::optional<std::pair<penstock_state, std::string>> reported_;

  std::mutex mutex_;  // of what follows; never held while calling anyone
  std::condition_variable changed_;
  const SessionLedger* current_ = nullptr;  // whose end is of interest
  std::optional<SessionEnd> end_;
  Clock::time_point ended_at_{};
  bool lost_ = false;
  bool quiesced_ = false;
  Goodbye goodbye_ = Goodbye::kNo;

  std::thread thread_;
};

}  // namespace penstock::mqtt
