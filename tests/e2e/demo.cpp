// penstock-demo: watch readings survive an outage of the server and a kill -9 of the agent, then
// see them counted.
//
// Run by `./dev demo`. Everything happens on loopback and in <build>/demo. Exit codes: 0 nothing is
// missing, 1 something is, or a part did not work, 2 wrong usage.
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/e2e/background.h"
#include "tests/e2e/progress.h"
#include "tests/e2e/report.h"
#include "tests/e2e/scenario.h"
#include "tests/support/paths.h"

namespace penstock::e2e {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

constexpr const char* kUsage =
    "usage: penstock-demo [--keep] [--json]\n"
    "Feeds MQTT, UDP and serial records through the agent into a local Zerobus server, cuts the\n"
    "server, kills the agent with -9, and counts what landed. Takes about half a minute.\n"
    "  --keep  leave everything running afterwards; how to look and how to stop is printed\n"
    "  --json  print the result as one line of JSON at the end\n";

struct Options {
  bool keep = false;
  bool json = false;
};

// One demo at a time: two would share the directory. Held until the process ends.
class DirLock {
 public:
  explicit DirLock(const fs::path& file)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
    if (fd_ < 0) throw std::runtime_error("cannot write " + file.string());
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      char pid[32] = {};
      [[maybe_unused]] const auto got = ::pread(fd_, pid, sizeof(pid) - 1, 0);
      throw std::runtime_error(std::string("a demo is still running; stop it with: kill ") + pid);
    }
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd_, 0) != 0 ||
        ::pwrite(fd_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
      throw std::runtime_error("cannot write " + file.string());
  }
  ~DirLock() { ::close(fd_); }
  DirLock(const DirLock&) = delete;
  DirLock& operator=(const DirLock&) = delete;

 private:
  int fd_;
};

std::string shown(const fs::path& path) {
  // Lexically: the serial line is a symlink, and its own name is what matters.
  const std::string relative = path.lexically_proximate(fs::current_path()).string();
  return relative.size() < path.string().size() ? relative : path.string();
}

std::string backlog(const Scenario& scenario) {
  return std::to_string(scenario.sent_in_all()) + " sent, " +
         std::to_string(scenario.landed_in_all()) + " landed";
}

void start_everything(Scenario& scenario, const Progress& progress) {
  scenario.broker().start();
  scenario.server().start();
  scenario.start_agent();
  progress.say("mosquitto, local Zerobus server and agent are up");
  scenario.start_feeders();
  progress.say("feeding: 200 MQTT messages/s on 3 topics, 100 datagrams/s, 20 serial lines/s");
}

void cut_and_restore(Scenario& scenario, const Progress& progress) {
  scenario.cut_server();
  progress.say("server cut; the feeders go on");
  std::this_thread::sleep_for(seconds(5));
  progress.say("  so far " + backlog(scenario));
  scenario.restore_server();
  progress.say("server back");
  if (!scenario.settle(seconds(15)))
    progress.say("  the backlog is not through after 15 s; going on");
  else
    progress.say("  caught up: " + backlog(scenario));
}

void kill_and_restart(Scenario& scenario, const Progress& progress) {
  const pid_t killed = scenario.agent().pid();
  scenario.kill_agent();
  progress.say("agent killed: kill -9 " + std::to_string(killed) + "; the feeders go on");
  std::this_thread::sleep_for(seconds(1));
  scenario.start_agent();
  progress.say("agent restarted and ready");
  if (!scenario.settle(seconds(15)))
    progress.say("  the backlog is not through after 15 s; going on");
  else
    progress.say("  caught up: " + backlog(scenario));
}

void finish(Scenario& scenario, const Progress& progress) {
  if (!scenario.stop_feeders()) progress.say("  the broker did not acknowledge everything");
  progress.say("feeders stopped; waiting for the rest to land");
  if (!scenario.drain(seconds(15))) progress.say("  not everything landed within 15 s");
}

void print_where_to_look(const fs::path& dir, const fs::path& source_dir) {
  std::printf(
      "look:    sqlite3 %s 'SELECT n, kg, _origin, _seq FROM \"main.demo.scale\" ORDER BY n DESC "
      "LIMIT 5'\n"
      "config:  %s  (the agent's log: %s)\n"
      "next:    ./dev demo --keep leaves it running, to cut, kill and query by hand\n",
      shown(dir / "server/data/lakehouse.db").c_str(), shown(source_dir / "conf/demo.yaml").c_str(),
      shown(dir / "agent.log").c_str());
}

void print_what_runs(Scenario& scenario) {
  std::printf(
      "still running and being fed:\n"
      "  agent     pid %d\n"
      "  broker    pid %d  %s  (mosquitto_sub -p %d -t '#' -v)\n"
      "  server    pid %d  %s  (admin 127.0.0.1:%d)\n"
      "  udp       127.0.0.1:%d\n"
      "  serial    %s\n"
      "stop all:   kill %d\n",
      scenario.agent().pid(), scenario.broker().pid(), scenario.broker().url().c_str(),
      scenario.broker().port(), scenario.server().pid(), scenario.server().endpoint().c_str(),
      scenario.server().admin_port(), scenario.udp_port(), shown(scenario.serial_device()).c_str(),
      ::getpid());
}

int run(const Options& options, const fs::path& build_dir, const fs::path& source_dir,
        const std::function<void(int)>& verdict) {
  const fs::path dir = build_dir / "demo";
  const DirLock lock(build_dir / "demo.lock");
  fs::remove_all(dir);
  fs::create_directories(dir);
  const Progress progress;
  Scenario scenario({build_dir, source_dir, dir});
  start_everything(scenario, progress);
  std::this_thread::sleep_for(seconds(5));
  cut_and_restore(scenario, progress);
  std::this_thread::sleep_for(seconds(3));
  kill_and_restart(scenario, progress);
  std::this_thread::sleep_for(seconds(5));
  finish(scenario, progress);

  const auto tables = scenario.verdicts();
  const auto latency = scenario.latency();
  const bool ok = all_landed(tables);
  std::printf("\n%s\n", table_for_people(tables, latency).c_str());
  print_where_to_look(dir, source_dir);
  if (options.keep) {
    scenario.start_feeders();
    print_what_runs(scenario);
  }
  std::printf("%s\n", ok ? "OK: nothing is missing" : "FAILED: records are missing, see above");
  if (options.json) std::printf("%s\n", json_line(tables, latency).c_str());
  std::fflush(stdout);
  if (options.keep) {
    leave_terminal((dir / "demo.log").string());
    verdict(ok ? 0 : 1);
    wait_for_stop_signal();
    scenario.stop_feeders();
  }
  if (scenario.stop_agent() != 0)
    std::fprintf(stderr, "the agent did not stop orderly; see %s\n",
                 shown(dir / "agent.log").c_str());
  return ok ? 0 : 1;
}

int run_reporting_errors(const Options& options, const std::function<void(int)>& verdict) {
  try {
    return run(options, test::build_dir(), test::source_dir(), verdict);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "demo: %s\n", error.what());
    return 1;
  }
}

}  // namespace
}  // namespace penstock::e2e

int main(int argc, char** argv) {
  using namespace penstock::e2e;
  // A shell's background job is started with SIGINT ignored. Dying of it is all that is needed: the
  // children die too.
  std::signal(SIGINT, SIG_DFL);
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--keep") {
      options.keep = true;
    } else if (argument == "--json") {
      options.json = true;
    } else {
      const bool help = argument == "--help" || argument == "-h";
      std::fputs(kUsage, help ? stdout : stderr);
      return help ? 0 : 2;
    }
  }
  if (!options.keep) return run_reporting_errors(options, [](int) {});
  return run_detached([&](const std::function<void(int)>& verdict) {
    const int code = run_reporting_errors(options, verdict);
    (void)code;  // without a verdict the waiting process takes 1
  });
}
