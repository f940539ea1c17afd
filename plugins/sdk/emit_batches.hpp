// Emitting a run of records in calls the host is bound to take: for plugins that read several
// records at once.
//
// Pure apart from the host call; any thread, one at a time per run of records. A plugin that keeps
// the records and `done` until the next on_room loses nothing and keeps their order.
#pragma once

#include <cstddef>
#include <span>

#include "penstock_plugin.hpp"

namespace penstock::sdk {

// What one record weighs against Host::max_emit_bytes.
inline uint64_t emit_bytes(const penstock_record& record) {
  uint64_t bytes = record.topic.size + record.payload.size;
  for (size_t i = 0; i < record.attribute_count; ++i) {
    bytes += record.attributes[i].key.size + record.attributes[i].value.size;
  }
  return bytes;
}

// Emits records[done...] in order, in calls of at most host.max_emit_bytes() (a larger record goes
// alone), and moves `done` past every record the host took. OK: all are taken (TOO_BIG counts as
// taken: the host has quarantined the record). FULL or CLOSED: records[done...] were not.
// `taken(end, last_seq)` after each call that was taken: records[..., end) are safe once `last_seq`
// is.
template <class Taken>
penstock_emit_status emit_batches(const Host& host, std::span<const penstock_record> records,
                                  size_t& done, Taken&& taken) {
  while (done < records.size()) {
    size_t end = done;
    uint64_t bytes = 0;
    do {
      bytes += emit_bytes(records[end++]);
    } while (end < records.size() && bytes + emit_bytes(records[end]) <= host.max_emit_bytes());
    uint64_t last_seq = 0;
    const auto status = host.emit(records.subspan(done, end - done), last_seq);
    if (status == PENSTOCK_EMIT_FULL || status == PENSTOCK_EMIT_CLOSED) return status;
    done = end;
    taken(end, last_seq);
  }
  return PENSTOCK_EMIT_OK;
}

inline penstock_emit_status emit_batches(const Host& host, std::span<const penstock_record> records,
                                         size_t& done) {
  return emit_batches(host, records, done, [](size_t, uint64_t) {});
}

}  // namespace penstock::sdk
