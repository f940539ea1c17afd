// Goal: a spool that fills up while the server is away stops its sources, each in its way, and when
// the server is back everything goes on by itself: nothing that was acknowledged is lost, what is
// lost is counted, and memory stays where it was. Method: the agent as a program with a spool of
// 64 MB, a real broker, a pty and datagrams, all faster than the spool is large.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/agent_process.h"
#include "tests/support/at_rest.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/feeder_serial.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/local_server.h"
#include "tests/support/mosquitto.h"
#include "tests/support/net.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/pty.h"
#include "tests/support/temp_dir.h"
#include "tests/support/verdict.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{90'000};
constexpr size_t kMqttBytes = 8000;
constexpr uint64_t kMemoryLimit = 48 << 20;  // the default
// Of resident memory. AddressSanitizer surrounds every allocation; what was freed is not kept, see
// SetUpTestSuite(). ThreadSanitizer's share cannot be told from ours.
#if defined(__SANITIZE_THREAD__)
constexpr uint64_t kMostMemory = UINT64_MAX;
#elif defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kMostMemory = 2 * kMemoryLimit;
#else
constexpr uint64_t kMostMemory = kMemoryLimit;
#endif

constexpr const char* kTables = R"yaml(tables:
  - pattern: main.full.*
    columns: [{name: n, type: BIGINT}]
)yaml";

// {"n":N,"pad":"..."} that compression makes little of.
std::string payload(uint64_t n, size_t bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text = "{\"n\":" + std::to_string(n) + ",\"pad\":\"";
  for (uint64_t state = n * 0x9E3779B97F4A7C15 + 1; text.size() + 2 < bytes;) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    for (int i = 0; i < 10 && text.size() + 2 < bytes; ++i) text += kDigits[state >> (6 * i) & 63];
  }
  return text + "\"}";
}

// Kilobytes of a line of /proc/PID/status.
uint64_t memory_kb(pid_t pid, const std::string& key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key + ":", 0) == 0) return std::stoull(line.substr(key.size() + 1));
  }
  return 0;
}

class BackPressure : public testing::TestWithParam<const char*> {
 protected:
  // The agent gives freed memory back as it would without AddressSanitizer, which keeps 256 MB.
  static void SetUpTestSuite() {
    const char* given = std::getenv("ASAN_OPTIONS");
    const std::string options = given ? std::string(given) + ":" : "";
    ::setenv("ASAN_OPTIONS", (options + "quarantine_size_mb=1").c_str(), 1);
  }

  BackPressure() {
    const auto feed = [](std::string topic, double per_second, size_t bytes, test::SentLog& sent) {
      return test::Feed{std::move(topic), per_second,
                        [bytes](uint64_t n) { return payload(n, bytes); }, &sent};
    };
    mqtt_ = std::make_unique<test::MqttFeeder>(
        broker_.port(), "feeder",
        std::vector<test::Feed>{feed("plant/a", 1500, kMqttBytes, sent_mqtt_)});
    udp_ = std::make_unique<test::UdpFeeder>(udp_port_, feed("", 1500, 4000, sent_udp_));
    serial_ = std::make_unique<test::SerialFeeder>(line_, "\n", feed("", 1500, 1000, sent_serial_));
  }
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", agent_.log().c_str());
  }

  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.path() / name) << text;
    return dir_.path() / name;
  }
  std::string configuration() const {
    const std::string columns = "columns: {n: {from: \"${payload.n}\", as: bigint}}}\n";
    std::string routes;
    for (const std::string input : {"m", "s", "u"})
      routes += "  - {name: " + input + ", match: {input: " + input + "}, table: main.full." +
                input + ", unknown_fields: ignore, " + columns;
    return "version: 1\nagent: {id: gw}\nspool: {dir: \"" + (dir_.path() / "spool").string() +
           "\", max_size: 64MB, min_free: 1MiB}\ndestinations:\n  d: {endpoint: \"" +
           server_.endpoint() +
           "\", auth: {token: t}, schema: none, max_rows_per_s: 0, "
           "backoff: {min: 50ms, max: 500ms}}\n"
           "inputs:\n  m: {plugin: mqtt, server: \"" +
           broker_.url() +
           "\", subscribe: [{filter: \"plant/#\", qos: 1}]}\n  s: {plugin: serial, topic: s, "
           "device: \"" +
           line_.link().string() +
           "\"}\n  u: {plugin: udp, topic: u, listen: \"127.0.0.1:" + std::to_string(udp_port_) +
           "\"}\nroute_defaults: {overflow: {policy: block" + GetParam() + "}}\nroutes:\n" + routes;
  }

  uint64_t drops() const { return test::kernel_drops(udp_port_); }
  // The serial line takes nothing for so long.
  bool serial_rests() const {
    return test::wait_at_rest([&] { return sent_serial_.size(); }, kGenerous, Millis(1500));
  }
  uint64_t missing(const char* table, const test::SentLog& sent) const {
    return test::judge(table, "", sent.snapshot(), server_.lakehouse().ids(table), {}).missing;
  }
  uint64_t invented(const char* table, const test::SentLog& sent) const {
    const auto known = sent.snapshot();
    uint64_t count = 0;
    for (const auto& [n, rows] : server_.lakehouse().ids(table))
      count += known.count(static_cast<uint64_t>(n)) == 0;
    return count;
  }

  // So far, above what it had at rest.
  uint64_t most_memory_kb() const { return memory_kb(agent_.pid(), "VmHWM") - ready_kb_; }

  void fill();
  void hold();
  void drain();

  test::TempDir dir_{"full"};
  const uint16_t udp_port_ = test::free_udp_port();
  test::Mosquitto broker_{dir_.path() / "broker"};
  test::LocalServer server_{test::build_dir() + "/bin/penstock-zerobus-local",
                            file("tables.yaml", kTables), dir_.path()};
  test::PtyLine line_{dir_.path() / "line"};
  test::AgentProcess agent_{{test::build_dir() + "/agent/penstock",
                             file("penstock.yaml", configuration()),
                             test::build_dir() + "/plugins",
                             dir_.path() / "agent.log",
                             {}}};
  test::SentLog sent_mqtt_, sent_udp_, sent_serial_;
  std::unique_ptr<test::MqttFeeder> mqtt_;
  std::unique_ptr<test::UdpFeeder> udp_;
  std::unique_ptr<test::SerialFeeder> serial_;
  uint64_t ready_kb_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Shares, BackPressure,
                         testing::Values("", ", max_share: 100%"),  // held by share; wholly full
                         [](const auto& tested) {
                           return std::string(*tested.param ? "WholeSpool" : "DefaultShare");
                         });

void BackPressure::fill() {
  broker_.start();
  line_.plug();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  ASSERT_TRUE(agent_.wait_for_log("mqtt/m: up", kGenerous));
  ready_kb_ = memory_kb(agent_.pid(), "VmRSS");
  mqtt_->start();
  udp_->start();
  serial_->start();
  EXPECT_TRUE(test::wait_until([&] { return drops() > 0; }, kGenerous)) << "UDP never overflowed";
  EXPECT_TRUE(serial_rests()) << "the serial line is still read";
  // A refused message, or a gate that does not read on because nothing is committed any more.
  const auto held = [&] {
    const auto log = agent_.log();
    return log.find("keeps the messages") != std::string::npos ||
           log.find("the spool is at its max_size") != std::string::npos;
  };
  EXPECT_TRUE(test::wait_until(held, kGenerous)) << "MQTT is not held";
  // More than the spool is large: the rest can only be at the broker.
  EXPECT_TRUE(
      test::wait_until([&] { return sent_mqtt_.size() * kMqttBytes > 80'000'000; }, kGenerous));
}

// While everything waits more is offered: that changes nothing here.
void BackPressure::hold() {
  const uint64_t before_kb = memory_kb(agent_.pid(), "VmRSS");
  const size_t log_before = agent_.log().size();
  const uint64_t dropped = drops();
  const size_t offered = sent_mqtt_.size();
  ASSERT_TRUE(test::wait_until(
      [&] { return drops() > dropped + 1000 && sent_mqtt_.size() > offered + 1000; }, kGenerous));
  ASSERT_TRUE(agent_.running());
  EXPECT_LT(memory_kb(agent_.pid(), "VmRSS"), before_kb + (8 << 10));
  EXPECT_LT(agent_.log().size() - log_before, 20'000u) << "it does not wait, it chatters";
  EXPECT_LT(most_memory_kb(), kMostMemory >> 10);
}

void BackPressure::drain() {
  serial_->stop();
  udp_->stop();
  ASSERT_TRUE(mqtt_->stop());
  const size_t backlog = sent_mqtt_.size();
  const uint64_t dropped = drops();
  const auto udp_before = sent_udp_.snapshot();
  server_.start();
  // It goes on by itself, and what comes now comes through.
  EXPECT_TRUE(test::wait_until([&] { return missing("main.full.m", sent_mqtt_) == 0; }, kGenerous))
      << missing("main.full.m", sent_mqtt_) << " of " << backlog << " acknowledged are missing";
  EXPECT_TRUE(test::wait_until([&] { return line_.write("\n"); }, kGenerous));
  EXPECT_TRUE(
      test::wait_until([&] { return missing("main.full.s", sent_serial_) == 0; }, kGenerous))
      << missing("main.full.s", sent_serial_) << " lines are missing";
  EXPECT_TRUE(
      test::wait_until([&] { return missing("main.full.u", sent_udp_) <= dropped; }, kGenerous));
  EXPECT_EQ(missing("main.full.u", sent_udp_), dropped) << "what is gone is not what was counted";
  EXPECT_LT(most_memory_kb(), kMostMemory >> 10);
}

TEST_P(BackPressure, AFullSpoolHoldsItsSourcesAndDrainsWithoutARestart) {
  fill();
  if (HasFatalFailure()) return;
  hold();
  const pid_t pid = agent_.pid();
  drain();
  const auto last = sent_udp_.size();
  mqtt_->start();
  udp_->start();
  serial_->start();
  ASSERT_TRUE(test::wait_until([&] { return sent_udp_.size() > last + 200; }, kGenerous));
  serial_->stop();
  udp_->stop();
  ASSERT_TRUE(mqtt_->stop());
  EXPECT_TRUE(test::wait_until([&] { return line_.write("\n"); }, kGenerous));
  EXPECT_TRUE(test::wait_until(
      [&] {
        return missing("main.full.m", sent_mqtt_) == 0 &&
               missing("main.full.s", sent_serial_) == 0 &&
               missing("main.full.u", sent_udp_) == drops();
      },
      kGenerous));
  EXPECT_EQ(invented("main.full.m", sent_mqtt_), 0u);
  EXPECT_EQ(invented("main.full.s", sent_serial_), 0u);
  EXPECT_EQ(invented("main.full.u", sent_udp_), 0u);
  EXPECT_TRUE(agent_.running());
  EXPECT_EQ(agent_.pid(), pid);
  const auto dropped = drops();
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_NE(agent_.log().find("(" + std::to_string(dropped) + " in all)"), std::string::npos)
      << dropped << " datagrams were lost, and nobody was told";
}

}  // namespace
}  // namespace penstock::e2e
