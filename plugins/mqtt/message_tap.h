// Between Paho's message callback and the host: makes a record of a message, emits it, and writes
// down in the session's ledger what came of it, before the callback returns.
//
// A message with QoS 1 that the host refuses (FULL, CLOSED) has been received already and Paho will
// acknowledge it. So its session is spoiled: the ledger holds back that PUBACK and all later ones,
// and what still arrives in the session is not emitted, since the broker sends it again, in order,
// to the next session. That one may begin after on_room (FULL) or never (CLOSED). A refused message
// with QoS 0 is lost, as QoS 0 promises, and counted.
//
// What cannot be a record (cut to its head by the gate, or with a topic that is none) is set aside
// with the reason; the host makes that durable like any record, and it is acknowledged then.
//
// deliver: Paho's thread. The rest: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/mqtt/session_ledger.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::mqtt {

struct IncomingMessage {
  std::string_view topic;
  std::string_view payload;
  int qos = 0;
  bool retained = false;
  bool duplicate = false;
  std::vector<std::pair<std::string, std::string>> attributes;
};

struct TapCounters {
  std::atomic<uint64_t> messages{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> duplicates{0};
  std::atomic<uint64_t> retained_skipped{0};
  std::atomic<uint64_t> refused_full{0};
  std::atomic<uint64_t> refused_closed{0};
  std::atomic<uint64_t> left_to_broker{0};  // not emitted because their session was spoiled
  std::atomic<uint64_t> too_big{0};
  std::atomic<uint64_t> oversize{0};     // set aside
  std::atomic<uint64_t> undecodable{0};  // set aside
  std::atomic<uint64_t> lost_qos0{0};
  std::atomic<uint64_t> qos2{0};
};

class MessageTap {
 public:
  struct Rules {
    bool skip_retained = false;
    uint32_t max_packet_bytes = 0;  // for the reason
  };
  MessageTap(const sdk::Host& host, Rules rules, EmitTotals& totals)
      : host_(host), rules_(rules), totals_(totals) {}

  void deliver(SessionLedger& ledger, const IncomingMessage& message) noexcept;
  void on_room() { room_calls_.fetch_add(1); }
  // May a session begin? False after FULL until on_room was called, and for good after CLOSED.
  bool open() const { return !closed() && room_calls_.load() >= room_needed_.load(); }
  bool closed() const { return closed_.load(); }
  const TapCounters& counters() const { return counters_; }

 private:
  // What a message is set aside as.
  struct Aside {
    std::string topic;
    std::string_view payload;
    std::string reason;
    std::atomic<uint64_t>* counter;
  };
  std::optional<Aside> aside(const SessionLedger& ledger, const IncomingMessage& message);
  penstock_emit_status hand_over(const SessionLedger& ledger, const IncomingMessage& message,
                                 uint64_t& last_seq, uint64_t& bytes);
  void emit(SessionLedger& ledger, const IncomingMessage& message);
  void refused(SessionLedger& ledger, const IncomingMessage& message);

  const sdk::Host host_;
  const Rules rules_;
  EmitTotals& totals_;
  TapCounters counters_;
  std::vector<penstock_attribute> attributes_;  // reused; Paho's thread
  std::atomic<uint64_t> room_calls_{0};
  std::atomic<uint64_t> room_needed_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace penstock::mqtt
