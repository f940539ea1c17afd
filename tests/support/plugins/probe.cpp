// A plugin that does what its options say, for tests of the host: behave, refuse, hang.
#include <atomic>
#include <stdexcept>
#include <thread>

#include <unistd.h>

#include "plugins/sdk/penstock_plugin.hpp"

namespace {

using penstock::sdk::Host;
using penstock::sdk::Options;

// Hangs until the process ends, without using the CPU.
void hang() {
  for (;;) ::pause();
}

class Probe final : public penstock::sdk::Input {
 public:
  Probe(Host host, const Options& options)
      : host_(host), mode_(options.text("mode")), count_(options.number("count")) {
    if (mode_ == "hang_create") hang();
    if (mode_ == "refuse_create") throw std::runtime_error("the probe was told to refuse");
  }
  ~Probe() override {
    if (thread_.joinable()) thread_.join();
    if (mode_ == "hang_destroy") hang();
  }
  void start() override {
    if (mode_ == "refuse_start") throw std::runtime_error("the probe was told not to start");
    if (mode_ == "hang_start") hang();
    if (mode_ == "remember") remember();
    host_.set_state(PENSTOCK_STATE_UP, "probing");
    thread_ = std::thread([this] { emit_all(); });
  }
  void on_durable(uint64_t up_to) override {
    host_.log(PENSTOCK_LOG_INFO, "durable " + std::to_string(up_to));
    durable_ = up_to;
  }
  void on_room() override { ++rooms_; }
  void quiesce() override { quiesced_ = true; }
  void stop() override {
    if (mode_ == "hang_stop" || mode_ == "misuse_hang_stop") {
      thread_.join();  // or ThreadSanitizer would call it leaked
      hang();
    }
    stopped_ = true;
    host_.set_state(PENSTOCK_STATE_STOPPED, "");
  }
  std::vector<penstock::sdk::Stat> stats() const override {
    return {{"durable", "newest durable record", PENSTOCK_STAT_GAUGE, durable_},
            {"lives", "as remembered", PENSTOCK_STAT_COUNTER, lives_},
            {"remembered", "1: this life is kept", PENSTOCK_STAT_GAUGE, remembered_},
            {"emitted", "records taken", PENSTOCK_STAT_COUNTER, emitted_},
            {"rooms", "on_room calls", PENSTOCK_STAT_COUNTER, rooms_},
            {"looks", "stats calls", PENSTOCK_STAT_COUNTER, ++looks_},
            {"spilt", "lost on the way", PENSTOCK_STAT_COUNTER,
             mode_ == "spill" ? emitted_ + (stopped_ ? 4U : 0U) : 0U, true}};
  }

 private:
  // Counts its lives.
  void remember() {
    const auto kept = host_.recall();
    lives_ = kept.size() + 1;
    remembered_ = host_.remember(kept + "x");
  }

  void emit_all() {
    uint64_t none = 0;
    if (mode_ == "misuse_hang_stop") host_.set_aside({}, "", none);
    for (int64_t i = 1; i <= count_ && !quiesced_; ++i) {
      const std::string payload = mode_ == "secret"
                                      ? host_.secret("password") + "|" + host_.secret("mode")
                                      : std::to_string(i);
      const auto record = penstock::sdk::record("probe/t", payload);
      uint64_t last_seq = 0;
      const auto rooms = rooms_.load();
      const auto status = mode_ == "set_aside" ? host_.set_aside(record, "as told", last_seq)
                                               : host_.emit(std::span(&record, 1), last_seq);
      if (status == PENSTOCK_EMIT_CLOSED) return;
      if (status == PENSTOCK_EMIT_FULL) {
        while (rooms_ == rooms && !quiesced_) std::this_thread::yield();
        --i;
        continue;
      }
      ++emitted_;
    }
  }

  const Host host_;
  const std::string mode_;
  const int64_t count_;
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> lives_{0};
  std::atomic<bool> remembered_{false};
  std::atomic<uint64_t> emitted_{0};
  std::atomic<uint64_t> rooms_{0};
  mutable std::atomic<uint64_t> looks_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<bool> quiesced_{false};
  std::thread thread_;
};

const penstock_option kOptions[] = {
    {sizeof(penstock_option), 0, "mode", PENSTOCK_OPTION_ENUM, "behave",
     "behave|refuse_create|refuse_start|hang_create|hang_start|hang_stop|hang_destroy|"
     "misuse_hang_stop|remember|secret|set_aside|spill",
     0, 0, "What to do."},
    {sizeof(penstock_option), 0, "count", PENSTOCK_OPTION_INTEGER, "3", nullptr, 0, 1000000,
     "Records to emit."},
    {sizeof(penstock_option), 0, "password", PENSTOCK_OPTION_SECRET, nullptr, nullptr, 0, 0,
     "Read again for mode secret."},
};

}  // namespace

PENSTOCK_INPUT_PLUGIN(Probe, "probe", "1", "Does what a test says", kOptions)
