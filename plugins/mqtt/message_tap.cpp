#include "plugins/mqtt/message_tap.h"

#include "plugins/mqtt/topic_text.h"

namespace penstock::mqtt {

void MessageTap::deliver(SessionLedger& ledger, const IncomingMessage& message) noexcept {
  ++counters_.messages;
  counters_.bytes += message.payload.size();
  if (message.duplicate) ++counters_.duplicates;
  if (message.qos == 1) ledger.received();
  if (message.qos == 2) ++counters_.qos2;
  if (message.qos > 0 && ledger.refused()) {
    ++counters_.left_to_broker;
    return;
  }
  if (rules_.skip_retained && message.retained) {
    ++counters_.retained_skipped;
    return;
  }
  emit(ledger, message);
}

std::optional<MessageTap::Aside> MessageTap::aside(const SessionLedger& ledger,
                                                   const IncomingMessage& message) {
  if (!host_.has_minor_1()) return std::nullopt;
  const auto problem = topic_problem(message.topic);
  const auto cut = ledger.mark().find(message.payload);
  if (!cut && problem.empty()) return std::nullopt;
  Aside aside{std::string(message.topic), message.payload, std::string(problem),
              &counters_.undecodable};
  if (!problem.empty()) aside.topic = escaped_topic(message.topic);
  if (cut) {
    aside.counter = &counters_.oversize;
    aside.payload = cut->head;
    aside.reason = "MQTT packet of " + std::to_string(cut->packet_bytes) +
                   " bytes is above max_packet_size (" + std::to_string(rules_.max_packet_bytes) +
                   "); the first " + std::to_string(cut->head.size()) + " payload bytes are kept" +
                   (problem.empty() ? "" : "; " + std::string(problem));
  }
  return aside;
}

penstock_emit_status MessageTap::hand_over(const SessionLedger& ledger,
                                           const IncomingMessage& message, uint64_t& last_seq,
                                           uint64_t& bytes) {
  bytes = message.topic.size() + message.payload.size();
  attributes_.clear();
  for (const auto& [key, value] : message.attributes) {
    attributes_.push_back({sdk::str(key), sdk::str(value)});
    bytes += key.size() + value.size();
  }
  const auto odd = aside(ledger, message);
  if (!odd) {
    const auto record = sdk::record(message.topic, message.payload, attributes_);
    return host_.emit({&record, 1}, last_seq);
  }
  const auto record = sdk::record(odd->topic, odd->payload, attributes_);
  const auto status = host_.set_aside(record, odd->reason, last_seq);
  if (status == PENSTOCK_EMIT_OK || status == PENSTOCK_EMIT_TOO_BIG) ++*odd->counter;
  return status;
}

void MessageTap::emit(SessionLedger& ledger, const IncomingMessage& message) {
  const uint64_t room_calls = room_calls_.load();  // before emit: a call during it counts
  uint64_t last_seq = 0;
  uint64_t bytes = 0;
  switch (hand_over(ledger, message, last_seq, bytes)) {
    case PENSTOCK_EMIT_TOO_BIG:
      ++counters_.too_big;  // the host keeps its head and `last_seq` covers it: acknowledged as any
                            // other
      [[fallthrough]];
    case PENSTOCK_EMIT_OK:
      totals_.accept(last_seq, bytes);
      return;
    case PENSTOCK_EMIT_FULL:
      ++counters_.refused_full;
      if (message.qos > 0) room_needed_ = room_calls + 1;
      break;
    case PENSTOCK_EMIT_CLOSED:
    default:  // a status this plugin does not know: nothing was taken
      ++counters_.refused_closed;
      closed_ = true;
      break;
  }
  refused(ledger, message);
}

void MessageTap::refused(SessionLedger& ledger, const IncomingMessage& message) {
  if (message.qos == 0) {
    ++counters_.lost_qos0;
  } else if (message.qos == 1) {
    ledger.refuse();
  } else {
    ledger.refuse_all();
  }
}

}  // namespace penstock::mqtt
