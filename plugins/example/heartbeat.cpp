// A complete input: one record at every `interval`, so that a table shows which gateways are alive.
//
// It has what every input has: options, a thread of its own that emits, a wait while the agent has
// no room, and an end. What a real one adds is the device.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include <penstock/penstock_plugin.hpp>

namespace {

class Heartbeat final : public penstock::sdk::Input {
 public:
  // Throws what is wrong with the options; the host has checked them against the table already.
  Heartbeat(penstock::sdk::Host host, const penstock::sdk::Options& options)
      : host_(host),
        interval_(options.number("interval")),
        text_(options.text("text")),
        topic_("heartbeat/" + std::string(host.agent_id())) {}
  ~Heartbeat() override { end(); }

  void start() override {
    host_.set_state(PENSTOCK_STATE_UP, "beating");
    thread_ = std::thread([this] { run(); });
  }
  // Nobody to acknowledge to. A device that can be held is told here, and not before.
  void on_durable(uint64_t up_to) override {
    const std::lock_guard lock(mutex_);
    durable_ = up_to;
  }
  void on_room() override {
    const std::lock_guard lock(mutex_);
    room_ = true;
    changed_.notify_all();
  }
  void quiesce() override { end(); }
  void stop() override { host_.set_state(PENSTOCK_STATE_STOPPED, ""); }

  std::vector<penstock::sdk::Stat> stats() const override {
    const std::lock_guard lock(mutex_);
    return {{"beats", "Records handed over.", PENSTOCK_STAT_COUNTER, beats_},
            {"durable", "Number of the newest that is safe.", PENSTOCK_STAT_GAUGE, durable_}};
  }

 private:
  void run() {
    for (uint64_t beat = 1;; ++beat) {
      const auto payload = "{\"beat\":" + std::to_string(beat) + ",\"text\":\"" + text_ + "\"}";
      if (!deliver(payload)) return;
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, interval_, [this] { return ending_; })) return;
    }
  }

  // False when there is no more to do. Holds no lock while it emits: on_durable may come meanwhile.
  bool deliver(const std::string& payload) {
    const auto record = penstock::sdk::record(topic_, payload);
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        room_ = false;  // before emit: on_room may come before emit has returned
      }
      uint64_t seq = 0;
      switch (host_.emit(std::span(&record, 1), seq)) {
        case PENSTOCK_EMIT_OK:
        case PENSTOCK_EMIT_TOO_BIG: {  // the agent has kept its head and counted it
          const std::lock_guard lock(mutex_);
          ++beats_;
          return true;
        }
        case PENSTOCK_EMIT_CLOSED:
          return false;
        case PENSTOCK_EMIT_FULL:
          std::unique_lock lock(mutex_);
          changed_.wait(lock, [this] { return room_ || ending_; });
          if (ending_) return false;
      }
    }
  }

  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  const penstock::sdk::Host host_;
  const std::chrono::milliseconds interval_;
  const std::string text_;
  const std::string topic_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool room_ = false;
  bool ending_ = false;
  uint64_t beats_ = 0;
  uint64_t durable_ = 0;
  std::thread thread_;
};

constexpr penstock_option kOptions[] = {
    {sizeof(penstock_option), 0, "interval", PENSTOCK_OPTION_DURATION, "10s", nullptr, 10, 86400000,
     "Time between two records."},
    {sizeof(penstock_option), 0, "text", PENSTOCK_OPTION_STRING, "alive", nullptr, 0, 0,
     "What the record says."},
};

}  // namespace

PENSTOCK_INPUT_PLUGIN(Heartbeat, "heartbeat", "1.0", "One record at every interval", kOptions)
