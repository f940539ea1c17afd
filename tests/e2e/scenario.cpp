#include "tests/e2e/scenario.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "tests/e2e/payloads.h"
#include "tests/support/ports.h"
#include "tests/support/wall_clock.h"

namespace penstock::e2e {
namespace {

using test::wall_us;

constexpr int64_t kSecond_us = 1'000'000;
// What UDP and serial sent after the last commit before a kill is lost with it. Commits come every
// 50 ms, but a starved machine may leave datagrams in the kernel for much longer.
constexpr int64_t kBeforeKill_us = 10 * kSecond_us;
// At an orderly stop only what nobody read any more may be lost.
constexpr int64_t kBeforeStop_us = kSecond_us / 5;

enum : size_t { kTelemetryA, kTelemetryB, kAlarms, kVibration, kScale };

std::vector<std::unique_ptr<Stream>> make_streams() {
  struct Row {
    const char* table;
    const char* source;
    bool held;
  };
  constexpr Row kRows[] = {{"main.demo.telemetry_a", "mqtt", true},
                           {"main.demo.telemetry_b", "mqtt", true},
                           {"main.demo.alarms", "mqtt", true},
                           {"main.demo.vibration", "udp", false},
                           {"main.demo.scale", "serial", false}};
  std::vector<std::unique_ptr<Stream>> streams;
  for (const Row& row : kRows) {
    streams.push_back(std::make_unique<Stream>());
    streams.back()->table = row.table;
    streams.back()->source = row.source;
    streams.back()->held = row.held;
  }
  return streams;
}

std::filesystem::path made(std::filesystem::path dir) {
  std::filesystem::create_directories(dir);
  return dir;
}

}  // namespace

Scenario::Scenario(const ScenarioOptions& options)
    : dir_(options.dir),
      udp_port_(test::free_udp_port()),
      streams_(make_streams()),
      down_since_us_(0),
      broker_(options.dir / "broker"),
      server_(options.build_dir / "bin/penstock-zerobus-local",
              options.source_dir / "conf/demo-tables.yaml", made(options.dir / "server")),
      agent_(agent_setup(options)),
      line_(options.dir / "scale-line") {
  const double pace = options.pace;
  mqtt_ = std::make_unique<test::MqttFeeder>(broker_.port(), "feeder", mqtt_feeds(pace));
  udp_ = std::make_unique<test::UdpFeeder>(udp_port_,
                                           feed(kVibration, "", 100 * pace, vibration_payload));
  serial_ =
      std::make_unique<test::SerialFeeder>(line_, "\n", feed(kScale, "", 20 * pace, scale_payload));
}

test::AgentSetup Scenario::agent_setup(const ScenarioOptions& options) const {
  return {options.build_dir / "agent" / options.agent,
          options.source_dir / "conf/demo.yaml",
          options.build_dir / "plugins",
          dir_ / "agent.log",
          {{"PENSTOCK_DEMO_SPOOL", spool_dir().string()},
           {"PENSTOCK_DEMO_ENDPOINT", server_.endpoint()},
           {"PENSTOCK_DEMO_TOKEN", "demo"},
           {"PENSTOCK_DEMO_BROKER", broker_.url()},
           {"PENSTOCK_DEMO_UDP", "127.0.0.1:" + std::to_string(udp_port_)},
           {"PENSTOCK_DEMO_SERIAL", (dir_ / "scale-line").string()}}};
}

test::Feed Scenario::feed(size_t stream, std::string topic, double per_second,
                          std::function<std::string(uint64_t)> payload) {
  return {std::move(topic), per_second, std::move(payload), &streams_[stream]->sent};
}

std::vector<test::Feed> Scenario::mqtt_feeds(double pace) {
  return {feed(kTelemetryA, "plant/a/telemetry", 90 * pace, telemetry_payload),
          feed(kTelemetryB, "plant/b/telemetry", 90 * pace, telemetry_payload),
          feed(kAlarms, "plant/a/alarm", 20 * pace, alarm_payload)};
}

void Scenario::agent_went_down(int64_t reaching_back_us) {
  const int64_t now_us = wall_us();
  if (!down_since_us_) {
    down_since_us_ = now_us;
    reaching_back_us_ = reaching_back_us;
  }
  disturbed_from(now_us - kSecond_us);
}

void Scenario::disturbed_from(int64_t at_us) {
  if (!disturbed_since_us_) disturbed_since_us_ = at_us;
}

void Scenario::start_agent() {
  agent_.start();
  if (!agent_.wait_ready())
    throw std::runtime_error("the agent did not become ready; its log:\n" + agent_.log());
  down_.push_back({{*std::exchange(down_since_us_, std::nullopt), wall_us()}, reaching_back_us_});
}

void Scenario::kill_agent() {
  agent_went_down(kBeforeKill_us);
  agent_.kill_now();
}

std::optional<int> Scenario::stop_agent() {
  agent_went_down(kBeforeStop_us);
  return agent_.stop();
}

void Scenario::cut_server() {
  disturbed_from(wall_us() - kSecond_us);
  server_.kill_now();
}

void Scenario::restore_server() { server_.start(); }

void Scenario::start_feeders() {
  if (!agent_.wait_for_log("mqtt/plant: up", Millis(30000)))
    throw std::runtime_error("the agent did not subscribe; its log:\n" + agent_.log());
  if (!line_.plugged()) serial_->plug();
  mqtt_->start();
  udp_->start();
  serial_->start();
}

bool Scenario::stop_feeders() {
  serial_->stop();
  udp_->stop();
  return mqtt_->stop();
}

bool Scenario::settle(Millis within) {
  std::vector<int64_t> newest;
  for (const auto& stream : streams_) {
    const auto sent = stream->sent.snapshot();
    newest.push_back(sent.empty() ? 0 : static_cast<int64_t>(sent.rbegin()->first));
  }
  const bool settled = test::wait_until(
      [&] {
        for (size_t i = 0; i < streams_.size(); ++i) {
          const auto landed = server_.lakehouse().ids(streams_[i]->table);
          if (newest[i] > 0 && (landed.empty() || landed.rbegin()->first < newest[i])) return false;
        }
        return true;
      },
      within, Millis(100));
  if (settled && disturbed_since_us_)
    disturbed_.push_back({*std::exchange(disturbed_since_us_, std::nullopt), wall_us()});
  return settled;
}

bool Scenario::drain(Millis within) {
  return test::wait_until(
      [&] {
        const auto tables = verdicts();
        return std::all_of(tables.begin(), tables.end(),
                           [](const test::TableVerdict& table) { return table.missing == 0; });
      },
      within, Millis(200));
}

std::vector<test::TableVerdict> Scenario::verdicts() const {
  std::vector<test::TableVerdict> result;
  for (const auto& stream : streams_) {
    const auto sent = stream->sent.snapshot();
    const auto landed = server_.lakehouse().ids(stream->table);
    std::vector<test::Window> windows;
    if (!stream->held) windows = test::reaching_back(down_, sent, landed);
    result.push_back(test::judge(stream->table, stream->source, sent, landed, windows));
  }
  return result;
}

Latency Scenario::latency() const {
  std::vector<int64_t> values_us;
  for (const auto& stream : streams_) {
    for (const auto& row : server_.lakehouse().landings(stream->table)) {
      if (test::within_any(disturbed_, row.received_us)) continue;
      if (disturbed_since_us_ && row.received_us >= *disturbed_since_us_) continue;
      values_us.push_back(row.acked_us - row.received_us);
    }
  }
  return {test::percentile(values_us, 50), test::percentile(values_us, 99), values_us.size()};
}

uint64_t Scenario::gaps() const {
  uint64_t count = 0;
  for (const auto& stream : streams_) {
    const auto landed = server_.lakehouse().ids(stream->table);
    if (!stream->held || landed.empty()) continue;
    for (const auto& [n, at_us] : stream->sent.snapshot()) {
      const auto id = static_cast<int64_t>(n);
      if (id < landed.rbegin()->first && !landed.contains(id)) ++count;
    }
  }
  return count;
}

uint64_t Scenario::sent_in_all() const {
  uint64_t sum = 0;
  for (const auto& stream : streams_) sum += stream->sent.size();
  return sum;
}

uint64_t Scenario::landed_in_all() const {
  uint64_t sum = 0;
  for (const auto& stream : streams_) sum += server_.lakehouse().ids(stream->table).size();
  return sum;
}

}  // namespace penstock::e2e
