// The agent with its promise broken on purpose: a source hears "durable" as soon as its record is
// queued, before any commit. The end-to-end test runs it to prove that it would notice: it must
// lose acknowledged records in a kill.
#include "agent/cli/cli.h"

namespace {

using penstock::RecordView;
using penstock::intake::EmitStatus;
using penstock::intake::Sink;

class AckBeforeCommit final : public Sink {
 public:
  AckBeforeCommit(Sink& next, penstock::app::AgentSettings::Durable durable)
      : next_(next), durable_(std::move(durable)) {}
  EmitStatus emit(penstock::spool::SourceId source, std::span<const RecordView> records,
                  uint64_t& last_seq) override {
    const auto status = next_.emit(source, records, last_seq);  // sets last_seq: not in the call
    return lie(source, status, last_seq);
  }
  EmitStatus set_aside(penstock::spool::SourceId source, const RecordView& record,
                       std::string_view reason, uint64_t& last_seq) override {
    const auto status = next_.set_aside(source, record, reason, last_seq);
    return lie(source, status, last_seq);
  }
  void flush_hint() override {}  // a late commit makes the window wide
  uint64_t max_emit_bytes() const override { return next_.max_emit_bytes(); }

 private:
  EmitStatus lie(penstock::spool::SourceId source, EmitStatus status, uint64_t last_seq) {
    if (status == EmitStatus::kOk || status == EmitStatus::kTooBig) durable_(source, last_seq);
    return status;
  }

  Sink& next_;
  const penstock::app::AgentSettings::Durable durable_;
};

}  // namespace

int main(int argc, char** argv) {
  penstock::app::AgentSettings settings;
  settings.wrap_sink = [](Sink& next, auto durable) -> std::unique_ptr<Sink> {
    return std::make_unique<AckBeforeCommit>(next, std::move(durable));
  };
  return penstock::cli::run(argc, argv, std::move(settings));
}
