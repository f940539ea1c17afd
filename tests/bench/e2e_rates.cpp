// How much goes through when everything works: the highest lossless rate, CPU time, latency.
#include <algorithm>
#include <stdexcept>

#include <spdlog/fmt/fmt.h>

#include "tests/bench/e2e_bench.h"
#include "tests/bench/e2e_rig.h"
#include "tests/bench/load_broker.h"
#include "tests/bench/load_udp.h"
#include "tests/bench/rate_search.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/net.h"
#include "tests/support/ports.h"
#include "tests/support/wait.h"
#include "tests/support/wall_clock.h"

namespace penstock::bench {
namespace {

// What waits for its batch and its commit when the last datagram is out; not the rate's fault.
constexpr double kBatching_s = 0.5;
constexpr double kSlowRate = 5000;

// An agent that receives datagrams, for one trial after the other.
class UdpRun {
 public:
  UdpRun(const E2eSettings& settings, size_t bytes, size_t tables)
      : settings_(settings),
        port_(test::free_udp_port()),
        rig_(settings.dir / "run", udp_options(port_)) {
    load_.bytes = bytes;
    load_.port = port_;
    load_.from = sender_ports(tables);
  }

  E2eRig& rig() { return rig_; }
  uint16_t port() const { return port_; }
  const std::vector<uint16_t>& ports() const { return load_.from; }

  // Nothing when a datagram was lost or rows fall behind for good.
  Trial operator()(double per_second) {
    load_.first += load_.count;
    load_.count = static_cast<uint64_t>(per_second * settings_.trial_s());
    load_.per_second = per_second;
    const uint64_t drops = test::kernel_drops(port_);
    const double cpu = rig_.agent_cpu_s();
    const MonoTime start = read_clock().mono;
    UdpSender sender(load_, settings_.dir);
    const auto sent = sender.wait();
    const uint64_t lost = test::kernel_drops(port_) - drops;
    expected_ += sent.count - lost;
    rig_.wait_rows(expected_, Millis(60000));
    const double seconds = std::max(sent.seconds, seconds_since(start) - kBatching_s);
    cpu_per_million_ = (rig_.agent_cpu_s() - cpu) / static_cast<double>(sent.count) * 1e6;
    if (lost > 0) return std::nullopt;
    return static_cast<double>(sent.count) / seconds;
  }
  double cpu_per_million() const { return cpu_per_million_; }  // of the last trial

 private:
  const E2eSettings& settings_;
  const uint16_t port_;
  E2eRig rig_;
  UdpLoad load_;
  uint64_t expected_ = 0;
  double cpu_per_million_ = 0;
};

Finding finding(const std::string& id, const std::string& unit) {
  Finding out;
  out.id = id;
  out.unit = unit;
  return out;
}

}  // namespace

void measure_e2e_udp(const E2eSettings& settings, Report& report) {
  Finding cpu = finding("e2e_cpu_at_capacity", "s");
  cpu.target = 4;
  cpu.better = Better::kLess;
  cpu.note = "of the agent alone, per million datagrams of 200 B, at the highest lossless rate";
  for (const size_t bytes : {size_t{200}, size_t{1024}}) {
    Finding rate = finding(bytes == 200 ? "e2e_udp_200b" : "e2e_udp_1kb", "datagrams/s");
    if (!settings.wants(rate.id) && !(bytes == 200 && settings.wants(cpu.id))) continue;
    if (bytes == 200) rate.target = 100'000;
    rate.note = "none lost, all landed; stretch 200,000";
    if (bytes != 200) rate.note = "none lost, all landed";
    double start = 60'000;
    for (int run = 0; run < settings.runs(); ++run) {
      UdpRun trial(settings, bytes, kTables);
      double best = 0;
      double cpu_at_best = 0;
      rate.values.push_back(highest_rate(start, [&](double at) {
        const auto real = trial(at);
        if (real && *real > best) {
          best = *real;
          cpu_at_best = trial.cpu_per_million();
        }
        return real;
      }));
      if (bytes == 200) cpu.values.push_back(cpu_at_best);
      start = std::max(rate.values.back(), 5000.0);
    }
    report.add(rate);
  }
  if (!cpu.values.empty()) report.add(cpu);
}

void measure_e2e_mqtt(const E2eSettings& settings, Report& report) {
  for (const size_t bytes : {size_t{200}, size_t{1024}}) {
    Finding rate = finding(bytes == 200 ? "e2e_mqtt_200b" : "e2e_mqtt_1kb", "msg/s");
    if (!settings.wants(rate.id)) continue;
    if (bytes == 200) rate.target = 20'000;
    rate.note = "acknowledged after the commit, window 65535, until landed";
    BrokerLoad load;
    load.messages = settings.quick ? 60'000 : 200'000;
    load.topic = [](uint64_t n) { return "bench/" + std::to_string(n % kTables); };
    load.payload = [bytes](uint64_t n) {
      std::string text = fmt::format(R"({{"n":{},"t":{},"unit":"mm/s","v":{}.5,"pad":")", n,
                                     test::wall_us(), n % 97);
      text.resize(bytes - 2, 'x');
      return text + "\"}";
    };
    for (int run = 0; run < settings.runs(); ++run) {
      LoadBroker broker;
      E2eRig rig(settings.dir / "run", broker.input_options());
      const auto ran = broker.run(load, 120);
      const MonoTime acked = read_clock().mono;
      rig.wait_rows(load.messages, Millis(60000));
      const double landing = std::max(0.0, seconds_since(acked) - kBatching_s);
      rate.values.push_back(static_cast<double>(load.messages) / (ran.seconds + landing));
    }
    report.add(rate);
  }
}

void measure_e2e_slow(const E2eSettings& settings, Report& report) {
  Finding cpu = finding("e2e_cpu_per_million", "s");
  cpu.target = 8;
  cpu.better = Better::kLess;
  cpu.note = "of the agent alone, per million datagrams of 200 B, at 5 k/s into one table";
  Finding late = finding("e2e_p99_ms", "ms");
  late.target = 50 + 200 + 20;  // the defaults of commit_interval and batch.max_delay
  late.better = Better::kLess;
  late.digits = 0;
  late.note =
      "200 B at 5 k/s into one table, from the sender's clock to the server's file, looked at "
      "every 5 ms";
  if (!settings.wants(cpu.id) && !settings.wants(late.id)) return;
  for (int run = 0; run < settings.runs(); ++run) {
    UdpRun trial(settings, 200, 1);
    trial(kSlowRate);  // streams open, files grow
    if (!trial(kSlowRate)) throw std::runtime_error("datagrams were lost at 5 k/s");
    cpu.values.push_back(trial.cpu_per_million());
    LandingWatch watch(trial.rig().data());
    watch.look();
    const size_t before = watch.ages_ms().size();
    UdpLoad load;  // sent by ourselves, so that we can look meanwhile
    load.port = trial.port();
    load.from = trial.ports();
    load.per_second = kSlowRate;
    load.count = static_cast<uint64_t>(kSlowRate * settings.trial_s());
    UdpSender sender(load, settings.dir);
    const auto landed = [&] {
      watch.look();
      return watch.ages_ms().size() >= before + load.count;
    };
    if (!test::wait_until(landed, Millis(60000), Millis(5)))
      throw std::runtime_error("datagrams were lost at 5 k/s");
    sender.wait();
    late.values.push_back(percentile(
        {watch.ages_ms().begin() + static_cast<ptrdiff_t>(before), watch.ages_ms().end()}, 0.99));
  }
  report.add(cpu);
  report.add(late);
}

}  // namespace penstock::bench
