#include "agent/app/run.h"

#include <atomic>
#include <memory>

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/app/last_good.h"
#include "agent/app/launch.h"
#include "agent/ops/service_manager.h"

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

// Returns when the agent is to stop. A ping goes out only if the agent thread answered the one
// before.
void keep_watch(Doorbell& doorbell, Agent& agent, ops::ServiceManager& systemd, const Log& log) {
  auto answered = std::make_shared<std::atomic<bool>>(true);
  for (;;) {
    int number = 0;
    switch (doorbell.wait(systemd.watchdog_interval(), number)) {
      case Wake::kTick:
        if (answered->exchange(false)) {
          systemd.alive();
          agent.touch([answered] { *answered = true; });
        }
        break;
      case Wake::kSignal:
        if (number == SIGHUP) {
          log.warning(
              "reloading is not supported yet; restart the agent to use a changed configuration");
          break;
        }
        log.info("stopping on signal {}", number);
        return;
    }
  }
}

}  // namespace

int run_agent(const std::filesystem::path& config_file, AgentSettings settings) {
  Doorbell doorbell;
  ops::ServiceManager systemd;
  const LastGood last_good(settings.state_dir);
  const Launch run = launch(config_file, settings, last_good);
  if (!run.agent) return run.exit_code;
  const Log log = log_of(run.loaded);
  const bool is_present = run.instead_of.empty();
  if (is_present) {
    if (auto saved = last_good.save(run.loaded.sources); !saved)
      log.warning("the configuration is not kept as the last good one: {}", saved.error().what);
  }
  systemd.ready(is_present ? "collecting"
                           : "ALARM: on the last good configuration: " + run.instead_of);
  log.info("agent ready");
  keep_watch(doorbell, *run.agent, systemd, log);
  systemd.stopping();
  run.agent->stop();
  log.info("stopped");
  return 0;
}

}  // namespace penstock::app
