// NoSink: takes nothing, for instances of inputs that are made or end before they have records.
//
// Stateless; any thread.
#pragma once

#include "agent/intake/sink.h"

namespace penstock::intake {

class NoSink final : public Sink {
 public:
  EmitStatus emit(spool::SourceId, std::span<const RecordView>, uint64_t&) override {
    return EmitStatus::kClosed;
  }
  EmitStatus set_aside(spool::SourceId, const RecordView&, std::string_view, uint64_t&) override {
    return EmitStatus::kClosed;
  }
  void flush_hint() override {}
  uint64_t max_emit_bytes() const override { return 1; }
};

}  // namespace penstock::intake
