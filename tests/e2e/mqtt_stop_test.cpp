// T12: a graceful stop leaves nothing for the broker to send again.
#include <set>

#include <gtest/gtest.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

class MqttStop : public ::testing::TestWithParam<Version> {
 protected:
  static CommitHost::Commit slow_commit() {
    return [](const std::vector<StoredRecord>&) {
      std::this_thread::sleep_for(Millis(20));
      return true;
    };
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttStop, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttStop, T12_StoppedUnderLoadEveryMessageIsInExactlyOneLife) {
  const TempDir dir("mqtt-stop");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  auto first = std::make_unique<MqttLife>(mqtt_settings(broker.port(), GetParam()));
  first->host.commit_with(slow_commit());
  first->start();
  ASSERT_TRUE(first->host.wait_state(PENSTOCK_STATE_UP));
  SentLog sent;
  MqttFeeder feeder(broker.port(), "feeder",
                    {{"plant/t", 1000, [](uint64_t n) { return std::to_string(n); }, &sent}});
  feeder.start();
  ASSERT_TRUE(first->host.wait_records(300));
  first->stop();
  ASSERT_TRUE(feeder.stop());
  std::multiset<std::string> all;
  for (const auto& payload : first->host.payloads()) all.insert(payload);

  MqttLife second(mqtt_settings(broker.port(), GetParam()));
  second.host.commit_with(slow_commit());
  second.start();
  ASSERT_TRUE(second.host.wait_state(PENSTOCK_STATE_UP, "session present"));
  EXPECT_TRUE(second.host.wait_records(sent.size() - all.size()));
  second.stop();
  for (const auto& payload : second.host.payloads()) all.insert(payload);
  for (const auto& [number, at] : sent.snapshot()) {
    EXPECT_EQ(all.count(std::to_string(number)), 1U) << number;
  }
}

TEST_P(MqttStop, T12_DisconnectFollowsTheLastAck) {
  ScriptBroker broker(50);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  publish_numbers(broker, 200);
  ASSERT_TRUE(life.host.wait_records(50));
  life.stop();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connections_ended() == 1; }));
  EXPECT_EQ(broker.disconnects(), 1U);
  // Whatever was sent before the pause and reached the client is acknowledged, in order.
  const auto acks = broker.acks();
  ASSERT_EQ(acks.size(), life.host.records().size());
  for (size_t i = 0; i < acks.size(); ++i) EXPECT_EQ(acks[i].number, i + 1);
}

// What Paho had been sent and not handled yet when reading stopped: quiesce waits for it, so the
// final commit covers it.
TEST_P(MqttStop, T12_WhatWasUnderWayAtQuiesceIsInTheFinalCommit) {
  ScriptBroker broker(100);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with([](uint64_t, std::string_view) {
    std::this_thread::sleep_for(Millis(1));
    return PENSTOCK_EMIT_OK;
  });
  life.start();
  publish_numbers(broker, 100);
  ASSERT_TRUE(life.host.wait_records(5));
  life.stop();
  EXPECT_TRUE(broker.wait_for([&] { return broker.connections_ended() == 1; }));
  EXPECT_EQ(broker.disconnects(), 1U);
  EXPECT_EQ(broker.acks().size(), life.host.records().size());
}

TEST_P(MqttStop, T12_AStopWithoutTheCommitHangsUpInTimeAndAcknowledgesNothing) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  publish_numbers(broker, 10);
  ASSERT_TRUE(life.host.wait_records(10));
  life.input().quiesce();
  life.input().stop();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_STOPPED, "", Millis(3000)));
  EXPECT_EQ(broker.acks().size(), 0U);
}

TEST_P(MqttStop, DestroyedInTheMiddleOfEverythingItEndsCleanly) {
  ScriptBroker broker;
  publish_numbers(broker, 1000);
  for (int i = 0; i < 3; ++i) {
    MqttLife life(mqtt_settings(broker.port(), GetParam()));
    life.host.commit_with(instant_commit());
    life.start();
    life.host.wait_records(static_cast<size_t>(i) * 100);
  }
}

}  // namespace
}  // namespace penstock::test
