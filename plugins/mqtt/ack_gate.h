// The ack gate: a relay inside this process between Paho and the broker, which lets a PUBACK out
// only when the message it acknowledges survives a power cut.
//
// Why a relay: Paho (C 1.3.12) writes the PUBACK as soon as its callback returns, and offers no
// other way. Paho is therefore given tcp://127.0.0.1:port() for a broker; TLS, name lookup and
// their error texts live on this side. One thread of its own. Connections from other processes are
// refused; one session at a time, a new one replaces the old.
//
// All public functions: any thread, none blocks except wait_idle, shutdown and the destructor.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "plugins/mqtt/session_ledger.h"
#include "plugins/mqtt/settings.h"

namespace penstock::mqtt {

struct GateConfig {
  BrokerAddress server;
  TlsFiles tls;  // used when server.tls
  uint32_t receive_maximum = 65535;
  uint32_t max_packet_bytes = 10U << 20;
  bool set_aside = false;  // a PUBLISH above that goes on by its head; else it ends the session
  uint64_t max_unacked_bytes = 16U << 20;
  std::chrono::milliseconds dial_limit{15000};
};

enum class EndKind {
  kUnreachable,   // no connection to the broker, or the TLS files cannot be used
  kTls,           // the handshake failed
  kBrokerClosed,  // the broker hung up
  kClientClosed,  // our client hung up
  kClientGaveUp,  // the same, before the broker had said anything
  kRefused,       // an acknowledgement that must never go out reached the front of the queue
  kBadFrame,      // one side does not speak MQTT, or the broker sent a packet over the limit
  kReplaced,      // a newer session took over, or the gate shuts down
};

struct SessionEnd {
  EndKind kind = EndKind::kReplaced;
  std::string text;  // for the person who reads the status; without the server's name
  std::optional<int> dismissal = {};  // MQTT 5: the reason of the broker's DISCONNECT
};

struct GateCounters {
  std::atomic<uint64_t> sessions{0};
  std::atomic<uint64_t> foreign_peers{0};
  std::atomic<uint64_t> acks_read{0};
  std::atomic<uint64_t> acks_released{0};
  std::atomic<uint64_t> acks_held{0};  // now
  std::atomic<uint64_t> unseen_acks{0};
  std::atomic<uint64_t> stalls{0};
  std::atomic<uint64_t> protocol_errors{0};    // sessions ended for what the broker sent
  std::atomic<int64_t> unanswered_ping_us{0};  // since when, by the steady clock; 0: none
  std::atomic<uint64_t> bytes_to_broker{0};
  std::atomic<uint64_t> bytes_from_broker{0};
};

class AckGate {
 public:
  // Called on the gate's thread; must not block and not call shutdown.
  struct Hooks {
    std::function<void(const SessionLedger&, const SessionEnd&)> ended;
    std::function<void()> stalled;  // the broker seems to wait for acknowledgements
  };

  // Opens the loopback port. Throws std::runtime_error when there is none to be had. `totals`
  // outlives the gate.
  AckGate(GateConfig config, const EmitTotals& totals, Hooks hooks);
  AckGate(const AckGate&) = delete;
  AckGate& operator=(const AckGate&) = delete;
  ~AckGate();

  uint16_t port() const;
  void start();
  // The next connection from this process belongs to `ledger`; any older session ends then.
  void expect(std::shared_ptr<const SessionLedger> ledger);
  // The broker of the present session bears less silence than Paho's pings leave: pings of the
  // gate's own, often enough for that, until the session ends.
  void ping_within(std::chrono::seconds silence);
  // Everything up to there survives a power cut. Never goes back.
  void on_durable(uint64_t up_to);
  // Read nothing more from the broker, for good.
  void pause();
  // After pause: until Paho has answered everything it was sent; with `drained`, also until all
  // acknowledgements are written. True at once when there is no session; false when `limit` passed
  // first.
  bool wait_idle(bool drained, std::chrono::milliseconds limit);
  // False while more than max_unacked_bytes are not durable; ask again later.
  bool room();
  uint64_t unacked_bytes() const;
  const GateCounters& counters() const;
  // Ends the session and the thread. No hook runs after it returns.
  void shutdown();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::mqtt
