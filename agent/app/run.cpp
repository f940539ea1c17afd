#include "agent/app/run.h"

#include <atomic>
#include <cstdio>

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/app/check.h"
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

int refuse(const config::Loaded& loaded, const Log& log) {
  for (const auto& problem : loaded.problems)
    std::fprintf(stderr, "%s\n", to_string(problem).c_str());
  log.error(
      "the configuration cannot be used; nothing was started. `penstock check` shows the same "
      "list");
  return kExitConfig;
}

// Before any plugin is loaded. Without them the agent runs all the same.
std::unique_ptr<host::CrashNotes> open_crash_notes(const std::filesystem::path& config_file) {
  const auto loaded = config::load_file(config_file, config::system_environment());
  if (!loaded.ok()) return nullptr;  // check_config says why
  auto notes = host::CrashNotes::open(loaded.config.spool.dir);
  return notes ? *std::move(notes) : nullptr;
}

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
  const auto crashes = open_crash_notes(config_file);
  settings.crashes = crashes.get();
  const auto loaded = check_config(config_file, settings.plugin_dir, true, crashes.get());
  const auto log =
      Log::to_stderr(loaded.ok() ? loaded.config.agent.level : LogLevel::kInfo).named("agent");
  if (!loaded.ok()) return refuse(loaded, log);
  for (const auto& problem : loaded.problems) log.warning("{}", to_string(problem));

  // Inputs that can wait do; a restart would help nothing.
  const auto on_fault = [&](const Error& error) {
    log.error("nothing can be written to the spool, trying again every second: {}", error.what);
  };
  log.info("penstock {} as {}, spool {}", settings.version, loaded.config.agent.id,
           loaded.config.spool.dir.string());
  Agent agent(loaded.config, std::move(settings), on_fault, log);
  if (auto started = agent.start(); !started) {
    log.error("not started: {}", started.error().what);
    return kExitFailure;
  }
  systemd.ready("collecting");
  log.info("agent ready");
  keep_watch(doorbell, agent, systemd, log);
  systemd.stopping();
  agent.stop();
  log.info("stopped");
  return 0;
}

}  // namespace penstock::app
