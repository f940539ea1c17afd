// The promise: PUBACK only after the commit. Against the scripted broker, which sees every frame.
#include <cstdlib>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <mqtt/async_client.h>

#include "plugins/mqtt/paho_link.h"
#include "tests/support/at_rest.h"
#include "tests/support/mqtt_rig.h"

namespace penstock::test {
namespace {

using mqtt::Version;

// Ending Paho's threads takes a second or two; with this they end once, not after every test.
class PahoForAllTests : public ::testing::Environment {
 public:
  void SetUp() override { keeper_ = std::make_unique<mqtt::PahoKeeper>(); }
  void TearDown() override { keeper_.reset(); }

 private:
  std::unique_ptr<mqtt::PahoKeeper> keeper_;
};
[[maybe_unused]] const auto* const kEnvironment =
    ::testing::AddGlobalTestEnvironment(new PahoForAllTests);

class MqttAck : public ::testing::TestWithParam<Version> {};

INSTANTIATE_TEST_SUITE_P(Versions, MqttAck, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

// What the whole design stands on, of Paho alone: an upgrade that changes it must not go unnoticed.
TEST_P(MqttAck, T1_PahoWritesThePubackAfterTheCallbackHasReturnedOneForEachMessage) {
  ScriptBroker broker;
  std::atomic<uint64_t> finished{0};
  std::atomic<bool> early{false};
  broker.on_puback([&](const SeenAck& ack) { early = early || finished < ack.number; });
  const bool v5 = GetParam() == Version::kV5;
  ::mqtt::async_client client("tcp://127.0.0.1:" + std::to_string(broker.port()), "t1",
                              ::mqtt::create_options(v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1),
                              static_cast<::mqtt::iclient_persistence*>(nullptr));
  client.set_message_callback([&](const ::mqtt::const_message_ptr&) {
    std::this_thread::sleep_for(Millis(100));  // room for Paho to do it too early
    ++finished;
  });
  ::mqtt::connect_options options;
  options.set_mqtt_version(v5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1);
  if (!v5) options.set_clean_session(false);
  publish_numbers(broker, 5);
  client.connect(options)->wait();
  EXPECT_TRUE(broker.wait_acks(5));
  EXPECT_FALSE(early);
  client.disconnect()->wait();
  const auto acks = broker.acks();
  ASSERT_EQ(acks.size(), 5U);
  for (size_t i = 0; i < acks.size(); ++i) EXPECT_EQ(acks[i].number, i + 1);
}

TEST_P(MqttAck, T2_NoPubackWhileTheCommitIsHeldAndPingsPass) {
  ScriptBroker broker(200);
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.keepalive = std::chrono::seconds(1);
  MqttLife life(settings);
  life.start();
  publish_numbers(broker, 200);
  ASSERT_TRUE(life.host.wait_records(200));
  EXPECT_TRUE(broker.wait_for([&] { return broker.pings() >= 2; }));
  EXPECT_EQ(broker.acks().size(), 0U);
  EXPECT_TRUE(life.wait_stat("acks_held", 200));
  life.host.commit_now();
  ASSERT_TRUE(broker.wait_acks(200));
  const size_t pings = broker.pings();
  EXPECT_TRUE(
      broker.wait_for([&] { return broker.pings() > pings; }));  // whatever else was to come
  const auto acks = broker.acks();
  ASSERT_EQ(acks.size(), 200U);
  for (size_t i = 0; i < acks.size(); ++i) EXPECT_EQ(acks[i].number, i + 1);
  EXPECT_EQ(broker.connects().size(), 1U);
}

// A commit covers what came before it and nothing that came after.
TEST_P(MqttAck, T2_ACommitReleasesExactlyWhatItCovers) {
  ScriptBroker broker(200);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  publish_numbers(broker, 50);
  ASSERT_TRUE(life.host.wait_records(50));
  ASSERT_TRUE(wait_until([&] { return life.stat("acks_held") == 50; }, Millis(10000)));
  publish_numbers(broker, 50);
  ASSERT_TRUE(life.host.wait_records(100));
  ASSERT_TRUE(wait_until([&] { return life.stat("acks_held") == 100; }, Millis(10000)));
  life.input().on_durable(49);
  // The stamps of the first fifty are between their own and the fiftieth number; none is above it.
  life.input().on_durable(50);
  ASSERT_TRUE(broker.wait_acks(50));
  EXPECT_TRUE(life.wait_stat("acks_held", 50));
  EXPECT_EQ(broker.acks().size(), 50U);
}

struct Load {
  Version version;
  size_t window;
  size_t messages;
};

// With a window of 20 and commits of 10 ms on average 10^5 messages take a minute: in every run of
// the tests a tenth of them, which is five hundred windows; more by PENSTOCK_MQTT_MESSAGES.
size_t in_small_windows() {
  const char* wanted = std::getenv("PENSTOCK_MQTT_MESSAGES");
  return wanted != nullptr ? std::strtoul(wanted, nullptr, 10) : 10000;
}

class MqttAckLoad : public ::testing::TestWithParam<Load> {};

INSTANTIATE_TEST_SUITE_P(Windows, MqttAckLoad,
                         ::testing::Values(Load{Version::kV311, 20, in_small_windows()},
                                           Load{Version::kV5, 20, in_small_windows()},
                                           Load{Version::kV311, 65535, 100000},
                                           Load{Version::kV5, 65535, 100000}),
                         [](const auto& tested) {
                           return version_label(tested.param.version) + "_window" +
                                  std::to_string(tested.param.window);
                         });

TEST_P(MqttAckLoad, T3_AtEveryPubackItsRecordIsDurable) {
  const Load load = GetParam();
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  ScriptBroker broker(load.window);
  MqttLife life(mqtt_settings(broker.port(), load.version));
  std::atomic<uint64_t> early{0};
  std::atomic<uint64_t> out_of_order{0};
  uint64_t expected = 0;
  broker.on_puback([&](const SeenAck& ack) {
    // One session, so the n-th message is the n-th record.
    if (life.host.durable() < ack.number) ++early;
    if (ack.number != ++expected) ++out_of_order;
  });
  std::mt19937 random(seed);
  life.host.commit_with([&](const std::vector<StoredRecord>&) {
    std::this_thread::sleep_for(std::chrono::microseconds(1000 + random() % 19000));
    return true;
  });
  life.start();
  publish_numbers(broker, load.messages);
  const auto patience = std::chrono::seconds(120) + std::chrono::milliseconds(load.messages);
  ASSERT_TRUE(broker.wait_acks(load.messages, patience));
  EXPECT_EQ(early, 0U);
  EXPECT_EQ(out_of_order, 0U);
  EXPECT_LE(broker.max_unacked(), load.window);
  EXPECT_EQ(life.host.records().size(), load.messages);
  EXPECT_EQ(life.stat("unseen_acks"), 0U);
  life.end();
}

TEST_P(MqttAck, T5_AHeldAckDiesWithItsSessionAndTheMessageComesAgain) {
  ScriptBroker broker;
  {
    MqttLife life(mqtt_settings(broker.port(), GetParam()));
    life.start();
    publish_numbers(broker, 10);
    ASSERT_TRUE(life.host.wait_records(10));
  }  // the process is gone between commit and acknowledgement
  EXPECT_EQ(broker.acks().size(), 0U);
  MqttLife next(mqtt_settings(broker.port(), GetParam()));
  next.host.commit_with(instant_commit());
  next.start();
  ASSERT_TRUE(broker.wait_acks(10));
  EXPECT_EQ(next.host.records().size(), 10U);
  EXPECT_EQ(next.stat("duplicate_messages"), 10U);  // DUP=1
}

TEST_P(MqttAck, T6_AfterADroppedSessionNoIdIsAcknowledgedBeforeItsRedeliveryIsDurable) {
  ScriptBroker broker;
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.keepalive = std::chrono::seconds(1);
  MqttLife life(settings);
  life.start();
  publish_numbers(broker, 5);
  ASSERT_TRUE(life.host.wait_records(5));
  life.host.commit_now();
  ASSERT_TRUE(broker.wait_acks(5));
  publish_numbers(broker, 5);
  ASSERT_TRUE(life.host.wait_records(10));
  ASSERT_TRUE(wait_until([&] { return life.stat("acks_held") == 5; }, Millis(10000)));
  broker.hang_up();
  life.host.commit_now();  // durable now, but the acknowledgements belong to the dead session
  ASSERT_TRUE(life.host.wait_records(15));
  const size_t pings = broker.pings();
  EXPECT_TRUE(broker.wait_for([&] { return broker.pings() > pings; }));
  EXPECT_EQ(broker.acks().size(), 5U);
  life.host.commit_now();
  ASSERT_TRUE(broker.wait_acks(10));
  const auto acks = broker.acks();
  for (size_t i = 5; i < 10; ++i) {
    EXPECT_EQ(acks[i].connection, 2U);
    EXPECT_EQ(acks[i].number, i + 1);
  }
  EXPECT_EQ(life.stat("duplicate_messages"), 5U);
}

TEST_P(MqttAck, T11_WhatDoesNotFitTheCapStaysAtTheBroker) {
  constexpr size_t kMessages = 1000;
  constexpr size_t kEach = 64 << 10;
  ScriptBroker broker(65535);
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.max_unacked_bytes = 1 << 20;
  MqttLife life(settings);
  life.start();
  for (size_t i = 0; i < kMessages; ++i) {
    broker.publish({"plant/t", std::string(kEach, 'x'), 1, false, ""});
  }
  // The gate stops reading at 1 MiB; what is in socket buffers by then still arrives.
  ASSERT_TRUE(wait_until([&] { return life.stat("unacked_bytes") > 1U << 20; }, Millis(20000)));
  ASSERT_TRUE(wait_at_rest([&] { return life.host.assigned(); }, Millis(20000), Millis(500)));
  const size_t seen = life.host.assigned();
  EXPECT_LT(seen * kEach, kMessages * kEach / 2);
  EXPECT_EQ(broker.acks().size(), 0U);
  life.host.commit_with(instant_commit());
  EXPECT_TRUE(broker.wait_acks(kMessages, std::chrono::seconds(60)));
  EXPECT_EQ(life.host.records().size(), kMessages);
  EXPECT_TRUE(life.wait_stat("unacked_bytes", 0));
}

// A queue smaller than max_unacked_bytes would refuse messages, and each refusal costs a reconnect.
TEST_P(MqttAck, TheGateStopsReadingBeforeTheAgentsQueueIsFull) {
  constexpr size_t kMessages = 400;
  constexpr size_t kEach = 16 << 10;
  ScriptBroker broker(65535);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.set_max_emit_bytes(1 << 20);
  life.start();
  for (size_t i = 0; i < kMessages; ++i)
    broker.publish({"plant/t", std::string(kEach, 'x'), 1, false, ""});
  ASSERT_TRUE(wait_until([&] { return life.stat("unacked_bytes") > 1U << 19; }, Millis(20000)));
  ASSERT_TRUE(wait_at_rest([&] { return life.host.assigned(); }, Millis(20000), Millis(500)));
  const size_t seen = life.host.assigned();
  EXPECT_LT(seen * kEach, kMessages * kEach * 3 / 4);
  life.host.commit_with(instant_commit());
  EXPECT_TRUE(broker.wait_acks(kMessages));
  EXPECT_EQ(broker.connects().size(), 1U);
}

TEST_P(MqttAck, AFullWindowAsksForAnEarlyCommitAndASlowSourceDoesNot) {
  ScriptBroker broker(20);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  publish_numbers(broker, 1);
  ASSERT_TRUE(life.host.wait_records(1));
  EXPECT_FALSE(wait_until([&] { return life.host.hints() > 0; }, Millis(200)));
  publish_numbers(broker, 99);
  ASSERT_TRUE(life.host.wait_records(20));
  EXPECT_TRUE(wait_until([&] { return life.host.hints() > 0; }, Millis(10000)));
}

TEST_P(MqttAck, AMessageTooBigToStoreIsAcknowledgedLikeAnyOther) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with([](uint64_t nth, std::string_view) {
    return nth == 2 ? PENSTOCK_EMIT_TOO_BIG : PENSTOCK_EMIT_OK;
  });
  life.start();
  publish_numbers(broker, 3);
  ASSERT_TRUE(life.host.wait_records(3));
  EXPECT_EQ(broker.acks().size(), 0U);
  life.host.commit_now();
  EXPECT_TRUE(broker.wait_acks(3));
  EXPECT_EQ(life.stat("too_big"), 1U);
}

}  // namespace
}  // namespace penstock::test
