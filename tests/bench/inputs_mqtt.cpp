// The MQTT input against a broker that only sends (load_broker.h), in threads of this process.
#include <spdlog/fmt/fmt.h>

#include "tests/bench/inputs_bench.h"
#include "tests/bench/inputs_rig.h"
#include "tests/bench/load_broker.h"

namespace penstock::bench {
namespace {

constexpr Millis kSync{5};
constexpr double kRunLimit_s = 120;

BrokerLoad load_of(size_t payload_bytes, uint64_t messages) {
  BrokerLoad load;
  load.messages = messages;
  load.topic = [](uint64_t) { return std::string("plant7/cell3/line3/robot5/tele"); };
  load.payload = [text = std::string(payload_bytes, 'x')](uint64_t) { return text; };
  return load;
}

struct Carried {
  double per_second = 0;
  BrokerRun run;
};

// With `instant` the queue is as large as all of the load: that rate is what receiving alone makes.
Carried carry(const InputsSettings& settings, const BrokerLoad& load, bool instant) {
  LoadBroker broker;
  InputsRigOptions options{settings.dir / "spool", broker.input_options()};
  options.instant = instant;
  if (instant) options.memory = "2GiB";
  InputsRig rig(options);
  Carried carried;
  carried.run = broker.run(load, kRunLimit_s);
  carried.per_second = static_cast<double>(load.messages) / carried.run.seconds;
  if (!rig.wait_durable(load.messages, Millis(60000)))
    throw std::runtime_error("not everything that was acknowledged became durable");
  return carried;
}

void note_connections(Finding& finding, uint64_t connections) {
  if (connections > 1) finding.note += fmt::format("; a run took {} connections", connections);
}

}  // namespace

void measure_mqtt_window(const InputsSettings& settings, Report& report) {
  for (const size_t bytes : {size_t{1024}, size_t{200}}) {
    Finding rate;
    rate.id = bytes == 1024 ? "mqtt_open_window" : "mqtt_open_window_200b";
    if (!settings.wants(rate.id)) continue;
    rate.unit = "msg/s";
    rate.of = "instant ack";
    if (bytes == 1024) rate.target = 0.8;
    const uint64_t messages = (settings.quick ? 40'000 : 120'000) * (bytes == 200 ? 2 : 1);
    const auto load = load_of(bytes, messages);
    std::vector<double> instant;
    uint64_t connections = 0;
    for (int run = 0; run < settings.runs(); ++run) {
      const SimulatedSync sync(kSync);
      instant.push_back(carry(settings, load, true).per_second);
      const auto held = carry(settings, load, false);
      rate.values.push_back(held.per_second);
      rate.ratios.push_back(held.per_second / instant.back());
      connections = std::max(connections, held.run.connections);
    }
    rate.note = fmt::format("{} B, window 65535, simulated sync 5 ms; instant {:.0f}/s", bytes,
                            median(instant));
    note_connections(rate, connections);
    report.add(rate);
  }
}

void measure_mqtt_strict(const InputsSettings& settings, Report& report) {
  Finding rate;
  rate.id = "mqtt_window20_5ms";
  if (!settings.wants(rate.id)) return;
  rate.unit = "msg/s";
  rate.target = 2500;
  rate.digits = 0;
  rate.note = "1 KB, window 20, simulated sync 5 ms";
  auto load = load_of(1024, settings.quick ? 3'000 : 10'000);
  load.window = 20;
  for (int run = 0; run < settings.runs(); ++run) {
    const SimulatedSync sync(kSync);
    rate.values.push_back(carry(settings, load, false).per_second);
  }
  report.add(rate);
}

void measure_mqtt_hold(const InputsSettings& settings, Report& report) {
  Finding hold;
  hold.id = "mqtt_hold_p99_ms";
  if (!settings.wants(hold.id)) return;
  hold.unit = "ms";
  hold.better = Better::kLess;
  hold.target = 50 + 10;  // the default commit_interval + 10
  hold.digits = 1;
  hold.note =
      "200 B at 20 k/s, simulated sync 5 ms; seen from the broker: two hops more than the gate's";
  auto load = load_of(200, settings.quick ? 40'000 : 100'000);
  load.per_second = 20'000;
  for (int run = 0; run < settings.runs(); ++run) {
    const SimulatedSync sync(kSync);
    const auto carried = carry(settings, load, false);
    hold.values.push_back(
        percentile({carried.run.hold_ms.begin(), carried.run.hold_ms.end()}, 0.99));
    note_connections(hold, carried.run.connections > 1 ? carried.run.connections : 0);
  }
  report.add(hold);
}

}  // namespace penstock::bench
