// Sink: where the plugin host puts records. The host knows intake only through this.
//
// Thread-safe; does not block on I/O. On kOk and kTooBig every record of the call has a sequence
// number of its source (contiguous from 1 in this run), `last_seq` is the last one's, and it will
// be covered by a durable watermark once committed; but a record that its route turns away when the
// table is over its share (drop_newest), or that no route takes (unrouted: drop), has none: then
// `last_seq` is that of the source's last record before, and is durable no later. On kFull and
// kClosed nothing was taken and `last_seq` is unchanged.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/record.h"
#include "agent/spool/types.h"

namespace penstock::intake {

enum class EmitStatus { kOk, kFull, kTooBig, kClosed };

class Sink {
 public:
  virtual ~Sink() = default;
  // `source` of the views is ignored: the sink knows the source. An empty topic means the source's
  // configured one; received_at_us == 0 means now. Calls of one source must be serialised by the
  // caller if their order matters.
  virtual EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                          uint64_t& last_seq) = 0;
  // A record that its input cannot hand over as it came. As emit of this one, never kTooBig; but it
  // goes to the quarantine with `reason`, by its head if it is above the size limit, whatever is
  // said of unrouted records.
  virtual EmitStatus set_aside(spool::SourceId source, const RecordView& record,
                               std::string_view reason, uint64_t& last_seq) = 0;
  // The source is stalled on acknowledgements: commit early.
  virtual void flush_hint() = 0;
  // Payload, topic and attribute bytes of a call that is always taken when nothing is queued and
  // none of its tables is over its share.
  virtual uint64_t max_emit_bytes() const = 0;
};

}  // namespace penstock::intake
