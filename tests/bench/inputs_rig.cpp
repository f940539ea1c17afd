#include "tests/bench/inputs_rig.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include <dlfcn.h>
#include <spdlog/fmt/fmt.h>

#include "agent/app/compose.h"
#include "tests/support/paths.h"
#include "tests/support/wait.h"

namespace penstock::bench {
namespace {

std::atomic<int> simulated_ms{0};

// One of the functions this program puts in front of the C library's.
int sync_by(const char* name, int fd) {
  if (const int ms = simulated_ms; ms > 0) {
    std::this_thread::sleep_for(Millis(ms));
    return 0;
  }
  const auto real = reinterpret_cast<int (*)(int)>(dlsym(RTLD_NEXT, name));
  return real(fd);
}

// What acknowledging too early would be: the input hears "durable" from emit itself.
class InstantSink final : public intake::Sink {
 public:
  InstantSink(intake::Sink& next, host::PluginHost& host) : next_(next), host_(host) {}
  intake::EmitStatus emit(spool::SourceId source, std::span<const RecordView> records,
                          uint64_t& last_seq) override {
    const auto status = next_.emit(source, records, last_seq);
    if (status == intake::EmitStatus::kOk) host_.durable(source, last_seq);
    return status;
  }
  intake::EmitStatus set_aside(spool::SourceId source, const RecordView& record,
                               std::string_view reason, uint64_t& last_seq) override {
    return next_.set_aside(source, record, reason, last_seq);
  }
  void flush_hint() override { next_.flush_hint(); }
  uint64_t max_emit_bytes() const override { return next_.max_emit_bytes(); }

 private:
  intake::Sink& next_;
  host::PluginHost& host_;
};

config::Config configured(const InputsRigOptions& options) {
  const std::string text = fmt::format(
      "version: 1\nagent: {{id: bench}}\nmemory_limit: {}\n"
      "spool: {{dir: {}, max_size: 2GiB, min_free: 64MiB}}\n"
      "destinations: {{d: {{type: zerobus, endpoint: \"http://127.0.0.1:1\", auth: {{token: x}}, "
      "schema: none}}}}\n"
      "inputs: {{in: {{{}}}}}\n"
      "routes: [{{name: r, match: {{topic: \"#\"}}, table: main.bench.t}}]\n",
      options.memory, options.dir.string(), options.input);
  auto loaded = config::load_text(text, "bench.yaml", "/", config::system_environment());
  for (const auto& problem : loaded.problems) {
    if (!problem.warning) throw std::runtime_error(to_string(problem));
  }
  return std::move(loaded.config);
}

}  // namespace

SimulatedSync::SimulatedSync(Millis each) { simulated_ms = static_cast<int>(each.count()); }
SimulatedSync::~SimulatedSync() { simulated_ms = 0; }

InputsRig::InputsRig(const InputsRigOptions& options)
    : config_((std::filesystem::remove_all(options.dir), configured(options))),
      catalog_(test::build_dir() + "/plugins") {
  auto opened = spool::Spool::open(app::spool_options(config_), Log::none());
  if (!opened) throw std::runtime_error(opened.error().what);
  spool_ = *std::move(opened);
  auto router = app::make_router(config_);
  if (!router) throw std::runtime_error(router.error().what);
  intake_ =
      std::make_unique<intake::Intake>(*spool_, *std::move(router), app::commit_deadlines(config_),
                                       app::intake_limits(config_), Log::none());
  host_ = std::make_unique<host::PluginHost>("bench", Log::none());
  if (options.instant) instant_ = std::make_unique<InstantSink>(*intake_, *host_);
  std::vector<config::Problem> problems;
  for (const auto& planned : host::plan_inputs(config_, catalog_, problems)) {
    const auto source = intake_->add_source(
        {planned.input->id, *Expression::parse("bench/topic/of/30/characters")});
    host_->add(planned, source, instant_ ? *instant_ : *intake_);
  }
  if (!problems.empty()) throw std::runtime_error(to_string(problems.at(0)));
  spool_->start(*this);
  host_->start(Millis(2000));
}

InputsRig::~InputsRig() {
  host_->quiesce(Millis(2000));
  (void)spool_->flush();
  intake_->close();
  host_->stop(Millis(3000));
  spool_->stop();
  host_->destroy();
}

void InputsRig::wait_up() {
  const auto up = [this] {
    const auto state = status().state;
    return state == host::InstanceState::kUp || state == host::InstanceState::kDegraded;
  };
  if (!test::wait_until(up, Millis(10000), Millis(2)))
    throw std::runtime_error("the input is not up: " + status().text);
}

bool InputsRig::wait_durable(uint64_t records, Millis within) {
  return test::wait_until([&] { return durable() >= records; }, within, Millis(1));
}

uint64_t InputsRig::stat(const std::string& name) const {
  for (const auto& [instance, stat, value] : host_->stats()) {
    if (stat == name) return value;
  }
  throw std::runtime_error("the input has no counter " + name);
}

void InputsRig::on_durable(spool::SourceId source, uint64_t up_to) {
  durable_ = up_to;
  host_->durable(source, up_to);
}

void InputsRig::on_committed(spool::LaneId lane, spool::Seq up_to) {
  spool_->acknowledge(lane, up_to);
}

void InputsRig::on_fault(const Error& error) {
  std::fprintf(stderr, "the spool failed: %s\n", error.what.c_str());
  std::exit(1);
}

}  // namespace penstock::bench

// SQLite and the spool find these before the C library's.
extern "C" __attribute__((visibility("default"))) int fsync(int fd) {
  return penstock::bench::sync_by("fsync", fd);
}
extern "C" __attribute__((visibility("default"))) int fdatasync(int fd) {
  return penstock::bench::sync_by("fdatasync", fd);
}
