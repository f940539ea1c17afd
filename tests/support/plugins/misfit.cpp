// A plugin that breaks one promise of the ABI at a time, for tests of the conformance kit: a thread
// emits numbers every few milliseconds; `ack_to` names the device's socket (Unix datagram,
// abstract), which gets one byte per acknowledged record.
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "plugins/sdk/penstock_plugin.hpp"

namespace {

using namespace std::chrono_literals;

// What `leak` never frees; reachable, so that the leak checker of the test run does not mind.
std::vector<std::unique_ptr<std::string>>& never_freed() {
  static std::vector<std::unique_ptr<std::string>> kept;
  return kept;
}

// Before that many records `leak_record` leaks nothing: as a plugin whose records come only while
// its source runs, which the shortest lives do not see.
constexpr int kSourceBegins = 10;

class Misfit final : public penstock::sdk::Input {
 public:
  Misfit(penstock::sdk::Host host, const penstock::sdk::Options& options)
      : host_(host), mode_(options.text("mode")), ack_to_(options.text("ack_to")) {
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (mode_ == "leak") never_freed().push_back(std::make_unique<std::string>(1000, 'x'));
    if (mode_ == "leak_descriptor") (void)!::dup(socket_);
  }
  ~Misfit() override {
    end();
    ::close(socket_);
    if (mode_ != "call_after_destroy") return;
    std::thread([host = host_] {
      for (int i = 0; i < 40; ++i) {
        std::this_thread::sleep_for(10ms);
        host.log(PENSTOCK_LOG_INFO, "still here");
      }
    }).detach();
  }

  void start() override {
    if (mode_ == "crash") std::abort();
    if (mode_ == "trap") __builtin_trap();
    if (mode_ == "crash_in_thread")
      std::thread([] { *reinterpret_cast<volatile int*>(8) = 1; }).join();
    if (mode_ == "throw_in_thread") std::thread([] { throw std::runtime_error("thrown"); }).join();
    if (mode_ == "refuse_start") throw std::runtime_error("told to refuse");
    host_.set_state(PENSTOCK_STATE_UP, "");
    thread_ = std::thread([this] { run(); });
  }
  void on_durable(uint64_t up_to) override {
    if (mode_ == "block_in_durable") std::this_thread::sleep_for(1500ms);
    std::unique_lock lock(mutex_);  // held across emit by lock_across_emit
    if (mode_ != "early_ack" && up_to > acknowledged_) acknowledge(up_to - acknowledged_);
    acknowledged_ = std::max(acknowledged_, up_to);
  }
  void on_room() override {
    room_ = true;
    const std::lock_guard lock(wait_mutex_);
    changed_.notify_all();
  }
  void quiesce() override {
    if (mode_ != "emit_after_stop") end();
  }
  void stop() override {
    if (mode_ != "never_stopped") host_.set_state(PENSTOCK_STATE_STOPPED, "");
  }

 private:
  void run() {
    if (mode_ == "silent") return;
    for (int number = 1; !ending_; ++number) {
      const auto text = std::to_string(number);
      if (mode_ == "leak_record" && number > kSourceBegins)
        never_freed().push_back(std::make_unique<std::string>(100, 'x'));
      std::string topic = mode_ == "bad_record" ? "\xFF" : "misfit";
      const auto record = penstock::sdk::record(topic, text);
      if (!deliver(record)) return;
      // Slow enough that what it loses is not also a flood of calls.
      std::this_thread::sleep_for(mode_ == "lose_on_full" ? 25ms : 2ms);
    }
  }

  bool deliver(const penstock_record& record) {
    for (;;) {
      room_ = false;
      const auto status = emit(record);
      if (status == PENSTOCK_EMIT_OK) return true;
      if (status == PENSTOCK_EMIT_TOO_BIG) {
        if (mode_ != "retry_too_big" && mode_ != "stop_on_too_big") return true;
        if (mode_ == "stop_on_too_big" || ending_) return false;
        std::this_thread::sleep_for(2ms);
        continue;
      }
      if (status == PENSTOCK_EMIT_CLOSED && mode_ != "ignore_closed") return false;
      const bool full = status == PENSTOCK_EMIT_FULL;
      if (mode_ == (full ? "lose_on_full" : "ignore_closed")) return true;
      if (mode_ == "spin_on_full" || mode_ == "retry_on_full") {
        std::this_thread::sleep_for(mode_ == "spin_on_full" ? 1ms : 50ms);
        if (ending_) return false;
        continue;
      }
      std::unique_lock lock(wait_mutex_);
      changed_.wait(lock, [this] { return room_ || ending_; });
      if (ending_) return false;
    }
  }

  penstock_emit_status emit(const penstock_record& record) {
    uint64_t seq = 0;
    std::unique_lock lock(mutex_, std::defer_lock);
    if (mode_ == "lock_across_emit") lock.lock();
    const auto status = host_.emit(std::span(&record, 1), seq);
    if (mode_ == "early_ack" && status == PENSTOCK_EMIT_OK) acknowledge(1);
    return status;
  }

  void acknowledge(uint64_t count) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strncpy(to.sun_path + 1, ack_to_.c_str(), sizeof to.sun_path - 2);
    const auto* address = reinterpret_cast<const sockaddr*>(&to);
    if (ack_to_.empty()) return;
    for (; count > 0; --count) ::sendto(socket_, "a", 1, MSG_DONTWAIT, address, sizeof to);
  }

  void end() {
    ending_ = true;
    {
      const std::lock_guard lock(wait_mutex_);
      changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  const penstock::sdk::Host host_;
  const std::string mode_;
  const std::string ack_to_;
  int socket_ = -1;
  std::mutex mutex_;
  uint64_t acknowledged_ = 0;  // under mutex_
  std::mutex wait_mutex_;
  std::condition_variable changed_;
  std::atomic<bool> room_{false};
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

const penstock_option kOptions[] = {
    {sizeof(penstock_option), 0, "mode", PENSTOCK_OPTION_ENUM, "behave",
     "behave|emit_after_stop|spin_on_full|retry_on_full|lose_on_full|ignore_closed|early_ack|leak|"
     "leak_record|silent|leak_descriptor|call_after_destroy|block_in_durable|lock_across_emit|bad_"
     "record|"
     "never_stopped|refuse_start|retry_too_big|stop_on_too_big|crash|trap|crash_in_thread|throw_in_"
     "thread",
     0, 0, "Which promise to break."},
    {sizeof(penstock_option), 0, "ack_to", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
     "The device's socket."},
};

}  // namespace

PENSTOCK_INPUT_PLUGIN(Misfit, "misfit", "1", "Breaks promises", kOptions)
