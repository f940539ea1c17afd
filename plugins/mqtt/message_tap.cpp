#include "plugins/mqtt/message_tap.h"

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
  if (skip_retained_ && message.retained) {
    ++counters_.retained_skipped;
    return;
  }
  emit(ledger, message);
}

void MessageTap::emit(SessionLedger& ledger, const IncomingMessage& message) {
  uint64_t bytes = message.topic.size() + message.payload.size();
  attributes_.clear();
  for (const auto& [key, value] : message.attributes) {
    attributes_.push_back({sdk::str(key), sdk::str(value)});
    bytes += key.size() + value.size();
  }
  const auto record = sdk::record(message.topic, message.payload, attributes_);
  const uint64_t room_calls = room_calls_.load();  // before emit: a call during it counts
  uint64_t last_seq = 0;
  switch (host_.emit({&record, 1}, last_seq)) {
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
