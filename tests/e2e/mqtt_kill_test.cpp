// T4, T5: kill -9 at any moment, with a real broker. The child's spool file gets a record only at
// the end of a simulated commit, so a kill loses what a power cut would lose.
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

constexpr Millis kCommit{25};

const char* setting(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The process that is killed: this binary, started with this one test. MQTT_MODE: `safe`; `naive`:
// the host calls a record durable as soon as it is queued; `mute`: durable records are never
// reported.
TEST(MqttChild, DISABLED_RunsTheInput) {
  const std::string mode = setting("MQTT_MODE");
  const int spool = ::open(setting("MQTT_SPOOL"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(spool, 0);
  const auto version = std::string(setting("MQTT_VERSION")) == "5" ? Version::kV5 : Version::kV311;
  MqttLife life(mqtt_settings(static_cast<uint16_t>(std::atoi(setting("MQTT_PORT"))), version));
  if (mode == "naive") life.host.lie_about_durability();
  life.host.commit_with([&](const std::vector<StoredRecord>& batch) {
    std::string lines;
    for (const auto& record : batch) lines += record.payload + "\n";
    std::this_thread::sleep_for(kCommit);
    return ::write(spool, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size());
  });
  if (mode == "mute") life.host.detach();
  life.start();
  if (!life.host.wait_state(PENSTOCK_STATE_UP, "", std::chrono::seconds(60))) return;
  std::printf("READY\n");
  uint64_t duplicates = 0;
  while (::getppid() != 1) {
    if (duplicates != life.stat("duplicate_messages")) {
      duplicates = life.stat("duplicate_messages");
      std::printf("DUP %llu\n", static_cast<unsigned long long>(duplicates));
    }
    std::fflush(stdout);
    std::this_thread::sleep_for(Millis(5));
  }
}

class MqttKill : public ::testing::Test {
 protected:
  void SetUp() override {
    broker_ = std::make_unique<Mosquitto>(dir_.path() / "broker");
    broker_->start();
  }

  std::unique_ptr<Process> child(const std::string& mode, const std::string& version) {
    auto process = std::make_unique<Process>(
        ProcessSpec{{"/proc/self/exe", "--gtest_filter=MqttChild.DISABLED_RunsTheInput",
                     "--gtest_also_run_disabled_tests"},
                    {{"MQTT_MODE", mode},
                     {"MQTT_VERSION", version},
                     {"MQTT_PORT", std::to_string(broker_->port())},
                     {"MQTT_SPOOL", spool().string()}},
                    dir_.path() / "child.log"});
    EXPECT_TRUE(process->wait_for_line("READY", std::chrono::seconds(60))) << process->output();
    return process;
  }

  std::filesystem::path spool() const { return dir_.path() / "spool"; }

  std::vector<uint64_t> stored() const {
    std::vector<uint64_t> numbers;
    std::ifstream file(spool());
    for (uint64_t number = 0; file >> number;) numbers.push_back(number);
    return numbers;
  }

  struct Outcome {
    size_t sent = 0;
    size_t lost = 0;
    size_t repeated = 0;
    bool in_order = true;  // by first sight
  };
  Outcome run(const std::string& mode, const std::string& version, int kills);

  TempDir dir_{"mqtt-kill"};
  std::unique_ptr<Mosquitto> broker_;
};

MqttKill::Outcome MqttKill::run(const std::string& mode, const std::string& version, int kills) {
  std::mt19937 random(std::random_device{}());
  auto process = child(mode, version);
  SentLog sent;
  MqttFeeder feeder(broker_->port(), "feeder",
                    {{"plant/t", 500, [](uint64_t n) { return std::to_string(n); }, &sent}});
  feeder.start();
  for (int i = 0; i < kills; ++i) {
    const size_t target = stored().size() + 20 + random() % 200;
    EXPECT_TRUE(wait_until([&] { return stored().size() >= target; }, Millis(60000)));
    process->kill_now();
    process = child(mode, version);
  }
  EXPECT_TRUE(feeder.stop());
  const auto promised = sent.snapshot();
  const auto lost = [&] {
    std::set<uint64_t> have;
    for (const uint64_t number : stored()) have.insert(number);
    size_t missing = 0;
    for (const auto& [number, at] : promised) missing += have.count(number) ? 0 : 1;
    return missing;
  };
  // A naive host never gets there: its file only has to come to rest.
  size_t size = 0;
  wait_until(
      [&] {
        return lost() == 0 ||
               (mode == "naive" && std::exchange(size, stored().size()) == stored().size());
      },
      Millis(30000), mode == "naive" ? Millis(1500) : Millis(50));
  process->kill_now();
  Outcome outcome{promised.size(), lost(), 0, true};
  uint64_t highest = 0;
  std::set<uint64_t> seen;
  for (const uint64_t number : stored()) {
    if (!seen.insert(number).second) {
      ++outcome.repeated;
      continue;
    }
    outcome.in_order = outcome.in_order && (seen.size() == 1 || number > highest);
    highest = number;
  }
  std::printf("%s %s: %zu sent, %zu lost, %zu repeated, %d kills\n", mode.c_str(), version.c_str(),
              outcome.sent, outcome.lost, outcome.repeated, kills);
  return outcome;
}

// Five a version are a few seconds in every run of the tests; twenty, as often as the guarantee was
// tried when the gate was chosen, and more by PENSTOCK_MQTT_KILLS.
int kills() {
  const int wanted = std::atoi(setting("PENSTOCK_MQTT_KILLS"));
  return wanted > 0 ? wanted : 5;
}

TEST_F(MqttKill, T4_Mqtt311LosesNothingThatTheBrokerTook) {
  const Outcome outcome = run("safe", "3.1.1", kills());
  EXPECT_GT(outcome.sent, 100U);
  EXPECT_EQ(outcome.lost, 0U);
  EXPECT_TRUE(outcome.in_order);
}

TEST_F(MqttKill, T4_Mqtt5LosesNothingThatTheBrokerTook) {
  const Outcome outcome = run("safe", "5", kills());
  EXPECT_GT(outcome.sent, 100U);
  EXPECT_EQ(outcome.lost, 0U);
  EXPECT_TRUE(outcome.in_order);
}

// Without it the two tests above might be blind.
TEST_F(MqttKill, T4_NegativeControlAnEarlyAckLosesRecords) {
  EXPECT_GT(run("naive", "3.1.1", 4).lost, 0U);
}

TEST_F(MqttKill, T5_KilledBetweenCommitAndAckGivesADuplicateAndLosesNothing) {
  auto process = child("mute", "3.1.1");
  MqttFeeder feeder(broker_->port(), "feeder", {});
  for (int i = 1; i <= 10; ++i) {
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", std::to_string(i), Millis(10000)));
  }
  ASSERT_TRUE(wait_until([&] { return stored().size() == 10; }, Millis(30000)));
  process->kill_now();
  process = child("safe", "3.1.1");
  EXPECT_TRUE(process->wait_for_line("DUP 10", Millis(30000)));
  ASSERT_TRUE(wait_until([&] { return stored().size() == 20; }, Millis(30000)));
  std::map<uint64_t, int> times;
  for (const uint64_t number : stored()) ++times[number];
  for (uint64_t i = 1; i <= 10; ++i) EXPECT_EQ(times[i], 2) << i;
}

}  // namespace
}  // namespace penstock::test
