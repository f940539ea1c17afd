// The promise of the agent broken on purpose: a source hears "durable" as soon as its record is
// queued, before any commit. For the negative controls of tests that must notice.
//
// Put in by AgentSettings::wrap_sink; threads as of the sink behind it.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "agent/app/agent.h"

namespace penstock::test {

class AckBeforeCommit final : public intake::Sink {
 public:
  AckBeforeCommit(intake::Sink& next, app::AgentSettings::Durable durable)
      : next_(next), durable_(std::move(durable)) {}

  static void put_into(app::AgentSettings& settings) {
    settings.wrap_sink = [](intake::Sink& next, auto durable) -> std::unique_ptr<intake::Sink> {
      return std::make_unique<AckBeforeCommit>(next, std::move(durable));
    };
  }

  intake::EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                          uint64_t& last_seq) override {
    const auto status = next_.emit(source, records, last_seq);  // sets last_seq: not in the call
    return lie(source, status, last_seq);
  }
  intake::EmitStatus set_aside(spool::SourceId source, const RecordView& record,
                               std::string_view reason, uint64_t& last_seq) override {
    const auto status = next_.set_aside(source, record, reason, last_seq);
    return lie(source, status, last_seq);
  }
  void flush_hint() override {}  // a late commit makes the window wide
  uint64_t max_emit_bytes() const override { return next_.max_emit_bytes(); }

 private:
  intake::EmitStatus lie(spool::SourceId source, intake::EmitStatus status, uint64_t last_seq) {
    using intake::EmitStatus;
    if (status == EmitStatus::kOk || status == EmitStatus::kTooBig) durable_(source, last_seq);
    return status;
  }

  intake::Sink& next_;
  const app::AgentSettings::Durable durable_;
};

}  // namespace penstock::test
