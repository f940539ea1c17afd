// What an outage of the server costs: the backlog's rate afterwards, and whether it comes complete
// and in order.
#include <algorithm>
#include <thread>

#include <spdlog/fmt/fmt.h>

#include "tests/bench/e2e_bench.h"
#include "tests/bench/e2e_rig.h"
#include "tests/bench/load_udp.h"
#include "tests/bench/spool_bench_rig.h"
#include "tests/support/net.h"
#include "tests/support/ports.h"

namespace penstock::bench {
namespace {

constexpr double kFillRate = 40'000;

struct Udp {
  explicit Udp(const E2eSettings& settings)
      : port(test::free_udp_port()), rig(settings.dir / "run", udp_options(port)) {
    load.port = port;
    load.from = sender_ports(kTables);
  }
  const uint16_t port;
  E2eRig rig;
  UdpLoad load;
};

// From the first row of the backlog to the last; nothing is sent meanwhile.
void drain_once(const E2eSettings& settings, Finding& rate) {
  Udp udp(settings);
  udp.load.count = 32 * kTables;
  udp.load.per_second = 1000;
  UdpSender(udp.load, settings.dir).wait();
  udp.rig.wait_rows(udp.load.count, Millis(30000));
  const uint64_t before = udp.load.count;
  udp.rig.cut_server();
  udp.load.first = before;
  udp.load.count = settings.quick ? 200'000 : 1'000'000;
  udp.load.per_second = kFillRate;
  UdpSender(udp.load, settings.dir).wait();
  const uint64_t all = before + udp.load.count - test::kernel_drops(udp.port);
  udp.rig.restore_server();
  udp.rig.wait_rows(before + 1, Millis(90000));
  const uint64_t first = udp.rig.rows();
  const MonoTime start = read_clock().mono;
  udp.rig.wait_rows(all, Millis(90000));
  rate.values.push_back(static_cast<double>(all - first) / seconds_since(start));
  const auto landed = udp.rig.landed();
  if (landed.out_of_order > 0 || landed.different != all)
    rate.note +=
        fmt::format("; {} OUT OF ORDER, {} MISSING", landed.out_of_order, all - landed.different);
}

// Duplicates count as a fault beyond what was sent in the last second before the cut: older records
// were acknowledged.
void cut_once(const E2eSettings& settings, double outage_s, Finding& faults) {
  constexpr double kRate = 5000;
  constexpr uint64_t kUnacked = 5000;
  Udp udp(settings);
  udp.load.per_second = kRate;
  udp.load.count = static_cast<uint64_t>(kRate * (outage_s + 4));
  UdpSender sender(udp.load, settings.dir);
  udp.rig.wait_rows(static_cast<uint64_t>(kRate * 2), Millis(30000));
  udp.rig.cut_server();
  std::this_thread::sleep_for(std::chrono::duration<double>(outage_s));
  udp.rig.restore_server();
  const auto sent = sender.wait();
  const uint64_t all = sent.count - test::kernel_drops(udp.port);
  Landed landed;
  test::wait_until(
      [&] {
        landed = udp.rig.landed();
        return landed.different >= all;
      },
      Millis(90000), Millis(500));
  const uint64_t missing = sent.count - landed.different;
  const uint64_t repeated = landed.repeated() > kUnacked ? landed.repeated() - kUnacked : 0;
  faults.values.push_back(static_cast<double>(missing + landed.out_of_order + repeated));
  faults.note += fmt::format("; {} missing, {} repeated, {} out of order", missing,
                             landed.repeated(), landed.out_of_order);
}

}  // namespace

void measure_outages(const E2eSettings& settings, Report& report) {
  Finding rate;
  rate.id = "outage_drain";
  rate.unit = "rows/s";
  rate.target = 150'000;
  rate.note = fmt::format(
      "{} datagrams of 200 B in {} tables, from the first row to the last; "
      "backoff.max 1 s",
      settings.quick ? "200,000" : "1,000,000", kTables);
  if (settings.wants(rate.id)) {
    for (int run = 0; run < std::min(settings.runs(), 3); ++run) drain_once(settings, rate);
    report.add(rate);
  }
  Finding faults;
  faults.id = "outage_20s";
  faults.unit = "faults";
  faults.target = 0;
  faults.better = Better::kLess;
  faults.digits = 0;
  const double outage_s = settings.quick ? 5 : 20;
  faults.note = fmt::format("{:.0f} s without a server at 5 k/s", outage_s);
  if (settings.wants(faults.id)) {
    cut_once(settings, outage_s, faults);
    report.add(faults);
  }
}

}  // namespace penstock::bench
