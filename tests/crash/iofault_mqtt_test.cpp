// T7: a real broker, the agent as it is composed, with the real MQTT plugin, and a file system that
// fails. Goal: what a failed commit held is not acknowledged to the broker before it is committed
// again, in the next file or once there is room; nothing acknowledged is lost, nothing comes twice
// without need. Method: a relay before the broker sees each PUBACK before the broker does, and has
// a power cut simulated at that moment: the record must be on what is left of the medium.
#include <set>

#include <gtest/gtest.h>

#include "agent/app/agent.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/support/ack_before_commit.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_relay.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::test {
namespace {

using spool::testing::FaultVfs;
using Numbers = std::multiset<uint64_t>;

constexpr Millis kPatience{60'000};

std::string payload(uint64_t n, size_t bytes) {
  auto text = "{\"n\":" + std::to_string(n) + "}";
  text.resize(std::max(text.size(), bytes), ' ');
  return text;
}

uint64_t number_of(std::string_view payload) {
  return std::strtoull(std::string(payload.substr(5, 20)).c_str(), nullptr, 10);
}

// What the spool in `dir` holds, by number.
Numbers held_in(const std::filesystem::path& dir) {
  const auto spool = spool::testing::open_or_die(spool::testing::options_in(dir));
  spool::testing::Watcher watcher;
  spool->start(watcher);
  Numbers numbers;
  for (const auto& lane : spool->lanes()) {
    EXPECT_EQ(lane.damaged, 0U);
    for (const auto& [seq, body] : spool::testing::read_all(*spool, lane.id)) {
      std::vector<AttributeView> attributes;
      const auto record = decode_record(body, attributes);
      if (!record) ADD_FAILURE() << record.error().what;
      if (record) numbers.insert(number_of(record->payload));
    }
  }
  spool->stop();
  return numbers;
}

class MqttIoFault : public ::testing::Test {
 protected:
  MqttIoFault() : seed_(spool::testing::test_seed()), random_(seed_) { broker_.start(); }
  ~MqttIoFault() override { stop_agent(); }

  void start_agent(const std::string& options, bool early = false) {
    auto loaded = config::load_text(
        "version: 1\nagent: {id: gw}\n"
        "spool: {dir: \"" +
            spool_dir().string() +
            "\", max_size: 64MiB, min_free: 0B, "
            "allow_volatile: true}\n"
            "destinations: {d: {endpoint: \"http://127.0.0.1:" +
            std::to_string(free_tcp_port()) +
            "\", auth: {token: t}, schema: none}}\n"
            "inputs: {plc: {plugin: mqtt, server: \"mqtt://127.0.0.1:" +
            std::to_string(relay_.port()) + "\", subscribe: [{filter: plant/#}], " + options +
            "}}\n"
            "routes: [{name: r, match: {input: plc}, table: a.b.c}]\n",
        "c.yaml", "/", config::system_environment());
    for (const auto& problem : loaded.problems) {
      if (!problem.warning) ADD_FAILURE() << config::to_string(problem);
    }
    app::AgentSettings settings;
    settings.plugin_dir = build_dir() + "/plugins";
    settings.version = "test";
    if (early) AckBeforeCommit::put_into(settings);
    agent_ = std::make_unique<app::Agent>(
        std::move(loaded.config), std::move(settings), [](const Error&) {}, Log::none());
    const auto started = agent_->start();
    ASSERT_TRUE(started) << started.error().what;
    ASSERT_EQ(agent_->failed_inputs(), std::vector<std::string>());
    ASSERT_TRUE(wait_until([&] { return relay_.subscribed() == 1; }, kPatience));
  }
  void stop_agent() {
    if (agent_) agent_->stop();
    agent_.reset();
    vfs_.reset();
  }

  std::filesystem::path spool_dir() const { return dir_.path() / "spool"; }
  // The number of the file that is written now.
  unsigned long newest_file() const {
    unsigned long newest = 0;
    for (const auto& entry : std::filesystem::directory_iterator(spool_dir())) {
      if (entry.path().extension() == ".db")
        newest = std::max(newest, std::stoul(entry.path().stem().string()));
    }
    return newest;
  }

  // In the relay, before the broker sees any of them.
  void on_acks(const std::vector<std::string>& payloads) {
    const std::lock_guard lock(mutex_);
    for (const auto& one : payloads) acked_.insert(number_of(one));
    if (cuts_wanted_ == 0) return;
    --cuts_wanted_;
    cut();
  }
  // With mutex_ held.
  void cut() {
    cuts_.emplace_back(dir_.path() / ("cut-" + std::to_string(cuts_.size())), acked_);
    vfs_->cut(spool_dir(), cuts_.back().first, FaultVfs::Survives::kNothing, random_);
  }
  void cut_now() {
    const std::lock_guard lock(mutex_);
    cut();
  }
  // From now on a power cut at each of the next `count` acknowledgements.
  void cut_at_acks(int count) {
    const std::lock_guard lock(mutex_);
    cuts_wanted_ = count;
  }
  std::set<uint64_t> acked_numbers() {
    const std::lock_guard lock(mutex_);
    return acked_;
  }
  size_t acked() { return acked_numbers().size(); }
  bool wait_acked(size_t count) {
    return wait_until([&] { return acked() >= count; }, kPatience);
  }

  std::string missing() {
    const auto acked = acked_numbers();
    std::string text = std::to_string(sent_.size()) + " sent, " + std::to_string(acked.size()) +
                       " acknowledged, " + std::to_string(relay_.outstanding()) +
                       " on their way; not acknowledged:";
    size_t shown = 0;
    for (const auto& [number, at] : sent_.snapshot()) {
      if (acked.count(number) == 0 && ++shown <= 10) text += " " + std::to_string(number);
    }
    return text;
  }

  // Acknowledged when the power went, and not on the medium; over all cuts. After stop_agent().
  size_t lost_in_cuts() const {
    size_t lost = 0;
    for (const auto& [medium, promised] : cuts_) {
      const auto held = held_in(medium);
      for (const uint64_t number : promised) lost += held.count(number) == 0 ? 1 : 0;
    }
    return lost;
  }

  Feed feed(double per_second, size_t bytes) {
    return {"plant/t", per_second, [bytes](uint64_t n) { return payload(n, bytes); }, &sent_};
  }
  Numbers sent() const {
    Numbers numbers;
    for (const auto& [number, at] : sent_.snapshot()) numbers.insert(number);
    return numbers;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;  // the relay's
  const TempDir dir_{"iofault"};
  SentLog sent_;
  std::mutex mutex_;
  std::set<uint64_t> acked_;
  int cuts_wanted_ = 0;
  std::vector<std::pair<std::filesystem::path, std::set<uint64_t>>> cuts_;
  std::unique_ptr<FaultVfs> vfs_ = std::make_unique<FaultVfs>();
  Mosquitto broker_{dir_.path() / "broker", 100};
  MqttRelay relay_{broker_.port(), [this](const auto& payloads) { on_acks(payloads); }};
  std::unique_ptr<app::Agent> agent_;
};

TEST_F(MqttIoFault, T7_WhatAFailedSyncOrWriteHeldIsAcknowledgedFromTheNextFileOnly) {
  start_agent("protocol: \"5\"");
  MqttFeeder feeder(broker_.port(), "feeder", {feed(1000, 200)});
  feeder.start();
  for (size_t fault = 0; fault < 3; ++fault) {
    ASSERT_TRUE(wait_acked(acked() + 100));
    cut_at_acks(8);
    if (fault == 1) {
      vfs_->fail_write_after(2);
    } else {
      vfs_->fail_sync_after(0);
    }
    ASSERT_TRUE(wait_until([&] { return newest_file() == fault + 2; }, kPatience));
  }
  ASSERT_TRUE(wait_acked(acked() + 100));
  ASSERT_TRUE(feeder.stop());
  ASSERT_TRUE(wait_acked(sent_.size())) << missing();
  EXPECT_EQ(vfs_->writes_after_failure(), 0);
  stop_agent();
  EXPECT_EQ(relay_.connections(), 1U) << "the broker is none the wiser";
  EXPECT_EQ(relay_.strays(), 0U);
  EXPECT_EQ(held_in(spool_dir()), sent()) << "each of them, once";
  EXPECT_GE(cuts_.size(), 3U) << "one for each fault, however slow the machine";
  EXPECT_EQ(lost_in_cuts(), 0U);
}

// Nothing can be written for a while, as on a card that others have filled. How a longer while ends
// the session: mqtt_limits_test.
TEST_F(MqttIoFault, T7_OnAFullDiskNothingIsAcknowledgedUntilThereIsRoom) {
  start_agent("protocol: \"3.1.1\"");
  MqttFeeder feeder(broker_.port(), "feeder", {feed(400, 2000)});
  feeder.start();
  ASSERT_TRUE(wait_acked(20));
  vfs_->set_disk_full(true, true);
  ASSERT_TRUE(wait_until([&] { return sent_.size() >= acked() + 150; }, kPatience));
  ASSERT_TRUE(feeder.stop());
  const auto safe = acked_numbers();
  EXPECT_FALSE(wait_until([&] { return acked() > safe.size(); }, Millis(300)));
  cut_now();
  cut_at_acks(5);
  vfs_->set_disk_full(false);
  ASSERT_TRUE(wait_acked(sent_.size())) << missing();
  stop_agent();
  EXPECT_EQ(relay_.connections(), 1U);
  EXPECT_EQ(held_in(spool_dir()), sent()) << "each of them, once";
  EXPECT_GE(cuts_.size(), 2U);
  EXPECT_EQ(lost_in_cuts(), 0U);
}

// Without it the tests above might be blind.
TEST_F(MqttIoFault, T7_NegativeControlAnEarlyAckIsSeen) {
  start_agent("protocol: \"5\"", true);
  MqttFeeder feeder(broker_.port(), "feeder", {feed(1000, 200)});
  feeder.start();
  ASSERT_TRUE(wait_acked(100));
  cut_at_acks(5);
  vfs_->fail_sync_after(0);
  ASSERT_TRUE(wait_until([&] { return newest_file() == 2; }, kPatience));
  ASSERT_TRUE(wait_acked(acked() + 50));
  ASSERT_TRUE(feeder.stop());
  stop_agent();
  EXPECT_GT(lost_in_cuts(), 0U);
}

}  // namespace
}  // namespace penstock::test
