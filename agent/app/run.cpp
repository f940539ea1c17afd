#include "agent/app/run.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include <poll.h>
#include <signal.h>
#include <spdlog/fmt/fmt.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/app/last_good.h"
#include "agent/app/launch.h"
#include "agent/ops/progress_watch.h"
#include "agent/ops/service_manager.h"
#include "agent/ops/start_pages.h"
#include "agent/ops/start_patience.h"

namespace penstock::app {
namespace {

// Why the wait ended.
enum class Wake { kSignal, kTick };

// Signals as a file descriptor, so that one poll waits for all.
class Doorbell {
 public:
  Doorbell() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC);
  }
  ~Doorbell() { close(signals_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  Wake wait(std::optional<Millis> tick, int& number) {
    pollfd fds[] = {{signals_, POLLIN, 0}};
    const int ready = poll(fds, 1, tick ? static_cast<int>(tick->count()) : -1);
    if (ready <= 0) return Wake::kTick;
    signalfd_siginfo info{};
    (void)!read(signals_, &info, sizeof info);
    number = static_cast<int>(info.ssi_signo);
    return Wake::kSignal;
  }

 private:
  int signals_ = -1;
};

// Looks after the agent until it is to stop.
class Keeper {
 public:
  Keeper(Agent& agent, ops::ServiceManager& systemd, std::string status, const Log& log)
      : agent_(agent), systemd_(systemd), status_(std::move(status)), log_(log) {}

  void run(Doorbell& doorbell) {
    const auto tick = std::min(systemd_.watchdog_interval().value_or(kLook), kLook);
    for (;;) {
      int number = 0;
      if (doorbell.wait(tick, number) == Wake::kTick) {
        look();
      } else if (number == SIGHUP) {
        log_.warning(
            "reloading is not supported yet; restart the agent to use a changed configuration");
      } else {
        log_.info("stopping on signal {}", number);
        return;
      }
    }
  }

 private:
  static constexpr Millis kLook{5000};
  static constexpr int kSettled = 2;  // looks until the inputs and streams are open

  void look() {
    const auto verdict =
        watch_.look({read_clock().mono, answered_->exchange(false), agent_.spool_busy_since()});
    agent_.touch([answered = answered_] { *answered = true; });
    if (verdict.is_alive) systemd_.alive();
    tell(verdict);
    if (++looks_ == kSettled) ops::forget_start_pages();
  }

  void tell(const ops::ProgressWatch::Verdict& verdict) {
    using News = ops::ProgressWatch::News;
    const auto seconds = verdict.stalled.count() / 1000;
    if (verdict.news == News::kStalled) {
      log_.error(
          "the spool has been waiting for its disk for {} s: the disk fails, or is far too slow; "
          "records wait at their sources, and after {} s the watchdog restarts the agent",
          seconds, ops::ProgressWatch::kIoStallLimit.count() / 1000);
      systemd_.status("ALARM: the spool's disk does not answer");
    } else if (verdict.news == News::kOver) {
      log_.warning("the spool's disk answers again, after {} s", seconds);
      systemd_.status(status_);
    }
  }

  Agent& agent_;
  ops::ServiceManager& systemd_;
  const std::string status_;
  const Log& log_;
  ops::ProgressWatch watch_;
  int looks_ = 0;
  std::shared_ptr<std::atomic<bool>> answered_ = std::make_shared<std::atomic<bool>>(true);
};

// With what systemd needs to know while it lasts.
Launch launch_patiently(const std::filesystem::path& config_file, const AgentSettings& settings,
                        const LastGood& last_good, ops::ServiceManager& systemd) {
  const ops::StartPatience patience(
      ops::bytes_read, [&] { systemd.starting("starting: reading the spool", Millis(120'000)); },
      Millis(10'000));
  return launch(config_file, settings, last_good);
}

// What `systemctl status` shows.
std::string status_of(const Launch& run) {
  if (!run.instead_of.empty()) return "ALARM: on the last good configuration: " + run.instead_of;
  const auto failed = run.agent->failed_inputs();
  if (failed.empty()) return "collecting";
  return fmt::format("ALARM: {} of the inputs not running: {}", failed.size(),
                     fmt::join(failed, "; "));
}

}  // namespace

int run_agent(const std::filesystem::path& config_file, const AgentSettings& settings) {
  Doorbell doorbell;
  ops::ServiceManager systemd;
  const LastGood last_good(settings.state_dir);
  const Launch run = launch_patiently(config_file, settings, last_good, systemd);
  if (!run.agent) return run.exit_code;
  const Log log = log_of(run.loaded);
  const bool is_present = run.instead_of.empty();
  if (is_present && run.tolerated.nothing()) {
    if (auto saved = last_good.save(run.loaded.sources); !saved)
      log.warning("the configuration is not kept as the last good one: {}", saved.error().what);
  }
  const std::string status = status_of(run);
  systemd.ready(status);
  log.info("agent ready");
  Keeper(*run.agent, systemd, status, log).run(doorbell);
  systemd.stopping();
  run.agent->stop();
  log.info("stopped");
  return 0;
}

}  // namespace penstock::app
