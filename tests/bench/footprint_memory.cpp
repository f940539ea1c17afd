// Memory, threads and wake-ups of an agent that has nothing to do, and memory at a steady rate.
#include <fstream>
#include <thread>

#include <spdlog/fmt/fmt.h>

#include "tests/bench/footprint_bench.h"
#include "tests/bench/load_udp.h"
#include "tests/support/at_rest.h"

namespace penstock::bench {
namespace {

constexpr double kKbPerMB = 1e6 / 1024;

// Of "Name:   1234 kB"; the sum when there are several.
uint64_t number_in(const std::filesystem::path& file, const std::string& name) {
  std::ifstream in(file);
  uint64_t sum = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name + ":")) sum += std::stoull(line.substr(name.size() + 1));
  }
  return sum;
}

std::filesystem::path proc(pid_t pid) { return "/proc/" + std::to_string(pid); }

uint64_t tasks(pid_t pid) { return number_in(proc(pid) / "status", "Threads"); }

struct Wakeups {
  uint64_t all = 0;
  uint64_t own = 0;  // of threads that neither gRPC nor Paho started
};

Wakeups wakeups(pid_t pid) {
  Wakeups sum;
  for (const auto& task : std::filesystem::directory_iterator(proc(pid) / "task")) {
    const uint64_t one = number_in(task.path() / "status", "voluntary_ctxt_switches");
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    sum.all += one;
    if (name == "penstock" || name == "zerobus" || name == "serial" || name == "udp")
      sum.own += one;
  }
  return sum;
}

Finding finding(const char* id, const char* unit, std::optional<double> target) {
  Finding one;
  one.id = id;
  one.unit = unit;
  one.target = target;
  one.better = Better::kLess;
  one.digits = 1;
  return one;
}

// Until every input has handed something over and a row of it has landed, so that all is open that
// will be.
void open_everything(Gateway& gateway, const FootprintSettings& settings) {
  UdpLoad load;
  load.port = gateway.udp_port();
  load.count = 200;
  load.per_second = 200;
  UdpSender(load, settings.dir).wait();
  gateway.rig().wait_rows(load.count, Millis(30000));
}

void measure_idle(const FootprintSettings& settings, Report& report) {
  Finding rss = finding("rss_idle_mb", "MB", 28);
  Finding dirty = finding("private_dirty_idle_mb", "MB", 8);
  Finding threads = finding("threads", "", {});
  Finding woken = finding("idle_wakeups", "1/s", 10);
  rss.note = "one idle TLS stream, three inputs";
  threads.digits = 0;
  if (!settings.wants(rss.id) && !settings.wants(dirty.id) && !settings.wants(threads.id) &&
      !settings.wants(woken.id)) {
    return;
  }
  Gateway gateway(settings.dir / "idle");
  open_everything(gateway, settings);
  const pid_t pid = gateway.rig().agent().pid();
  const double quiet_s = settings.quick ? 5 : 20;
  const auto written = [pid] { return number_in(proc(pid) / "io", "write_bytes"); };
  if (!test::wait_at_rest(written, Millis(30000), Millis(2000)))
    throw std::runtime_error("the agent does not come to rest");
  const Wakeups before = wakeups(pid);
  std::this_thread::sleep_for(std::chrono::duration<double>(quiet_s));  // what is measured
  const Wakeups after = wakeups(pid);
  woken.values.push_back(static_cast<double>(after.all - before.all) / quiet_s);
  woken.note = fmt::format("voluntary switches of all threads; {:.1f} in threads of ours",
                           static_cast<double>(after.own - before.own) / quiet_s);
  const auto rollup = proc(pid) / "smaps_rollup";
  rss.values.push_back(static_cast<double>(number_in(rollup, "Rss")) / kKbPerMB);
  dirty.values.push_back(static_cast<double>(number_in(rollup, "Private_Dirty")) / kKbPerMB);
  threads.values.push_back(static_cast<double>(tasks(pid)));
  for (const auto* one : {&rss, &dirty, &threads, &woken}) report.add(*one);
}

}  // namespace

void measure_memory(const FootprintSettings& settings, Report& report) {
  measure_idle(settings, report);
  Finding rss = finding("rss_1k_mb", "MB", 40);
  if (!settings.wants(rss.id)) return;
  Gateway gateway(settings.dir / "rate");
  UdpLoad load;
  load.port = gateway.udp_port();
  load.per_second = 1000;
  load.count = settings.quick ? 10'000 : 60'000;
  rss.note = "the most of it, " + std::to_string(load.count / 1000) + " s of 200 B at 1,000/s";
  UdpSender(load, settings.dir).wait();
  gateway.rig().wait_rows(load.count, Millis(30000));
  const auto most = number_in(proc(gateway.rig().agent().pid()) / "status", "VmHWM");
  rss.values.push_back(static_cast<double>(most) / kKbPerMB);
  report.add(rss);
}

}  // namespace penstock::bench
