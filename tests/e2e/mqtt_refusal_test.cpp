// T15, T16: what the host refuses has been received already, and Paho will acknowledge it. The
// broker must not see that.
#include <set>

#include <gtest/gtest.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

class MqttRefusal : public ::testing::TestWithParam<Version> {
 protected:
  // The host refuses once, at call `at`, and takes everything else.
  static CommitHost::Answer refuse_at(uint64_t at, penstock_emit_status status) {
    return [=](uint64_t nth, std::string_view) { return nth == at ? status : PENSTOCK_EMIT_OK; };
  }
  static std::vector<std::string> numbers(size_t count) {
    std::vector<std::string> texts;
    for (size_t i = 1; i <= count; ++i) texts.push_back(std::to_string(i));
    return texts;
  }
  static std::vector<uint64_t> acked(const ScriptBroker& broker, size_t connection) {
    std::vector<uint64_t> acked;
    for (const auto& ack : broker.acks()) {
      if (ack.connection == connection) acked.push_back(ack.number);
    }
    return acked;
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttRefusal, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttRefusal, T15_AMessageRefusedForWantOfRoomIsNotAcknowledgedAndComesAgainAfterOnRoom) {
  ScriptBroker broker;
  publish_numbers(broker, 10);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with(refuse_at(6, PENSTOCK_EMIT_FULL));
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "no room in the spool"));
  EXPECT_EQ(acked(broker, 1), (std::vector<uint64_t>{1, 2, 3, 4, 5}));  // earlier ones still flowed
  EXPECT_EQ(broker.connections_ended(), 1U);
  EXPECT_FALSE(wait_until([&] { return broker.connects().size() > 1; }, Millis(1000)));
  EXPECT_EQ(life.host.records().size(), 5U);

  life.input().on_room();
  ASSERT_TRUE(broker.wait_acks(10));
  EXPECT_EQ(acked(broker, 2), (std::vector<uint64_t>{6, 7, 8, 9, 10}));
  // In order, and none twice: what came behind the refused one was not taken in its first session.
  EXPECT_EQ(life.host.payloads(), numbers(10));
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "session present"));
  EXPECT_EQ(life.stat("refused_full"), 1U);
}

// The acknowledgements of accepted messages go out even when the gate reads them after the refusal:
// otherwise a spool with a little room would take the same few messages again and again.
TEST_P(MqttRefusal, T15_ASpoolWithLittleRoomMakesProgressWithoutDuplicates) {
  constexpr size_t kMessages = 30;
  constexpr size_t kRoom = 7;
  ScriptBroker broker(kMessages);
  publish_numbers(broker, kMessages);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  std::atomic<size_t> room{kRoom};
  life.host.answer_with([&](uint64_t, std::string_view) {
    if (room == 0) return PENSTOCK_EMIT_FULL;
    --room;
    return PENSTOCK_EMIT_OK;
  });
  life.host.commit_with(instant_commit());
  life.start();
  for (size_t taken = kRoom; taken < kMessages; taken += kRoom) {
    ASSERT_TRUE(
        wait_until([&] { return life.stat("refused_full") == taken / kRoom; }, Millis(20000)));
    room = kRoom;
    life.input().on_room();
  }
  ASSERT_TRUE(broker.wait_acks(kMessages));
  EXPECT_EQ(life.host.payloads(), numbers(kMessages));
}

TEST_P(MqttRefusal, T15_ARefusedMessageWaitsForTheCommitsInFrontOfIt) {
  ScriptBroker broker;
  publish_numbers(broker, 10);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with(refuse_at(6, PENSTOCK_EMIT_FULL));
  life.start();
  ASSERT_TRUE(wait_until([&] { return life.stat("left_to_broker") == 4; }, Millis(20000)));
  EXPECT_EQ(broker.acks().size(), 0U);
  EXPECT_EQ(broker.connections_ended(), 0U);
  life.host.commit_now();
  ASSERT_TRUE(broker.wait_acks(5));
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "no room"));
  EXPECT_EQ(broker.acks().size(), 5U);
}

TEST_P(MqttRefusal, T15_RoomThatCameBeforeTheSessionEndedIsNotForgotten) {
  ScriptBroker broker;
  publish_numbers(broker, 3);
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with(refuse_at(2, PENSTOCK_EMIT_FULL));
  life.start();
  ASSERT_TRUE(wait_until([&] { return life.stat("refused_full") == 1; }, Millis(20000)));
  life.input().on_room();
  life.host.commit_with(instant_commit());
  EXPECT_TRUE(broker.wait_acks(3));
  EXPECT_EQ(life.host.payloads(), numbers(3));
}

TEST_P(MqttRefusal, T16_AMessageRefusedAtTheEndComesAgainOnlyAfterARestart) {
  ScriptBroker broker;
  publish_numbers(broker, 10);
  {
    MqttLife life(mqtt_settings(broker.port(), GetParam()));
    life.host.answer_with(refuse_at(6, PENSTOCK_EMIT_CLOSED));
    life.host.commit_with(instant_commit());
    life.start();
    ASSERT_TRUE(broker.wait_for([&] { return broker.connections_ended() == 1; }));
    EXPECT_EQ(acked(broker, 1), (std::vector<uint64_t>{1, 2, 3, 4, 5}));
    life.input().on_room();
    EXPECT_FALSE(wait_until([&] { return broker.connects().size() > 1; }, Millis(2000)));
    EXPECT_EQ(life.host.payloads(), numbers(5));
    life.stop();
  }
  MqttLife next(mqtt_settings(broker.port(), GetParam()));
  next.host.commit_with(instant_commit());
  next.start();
  ASSERT_TRUE(broker.wait_acks(10));
  EXPECT_EQ(acked(broker, 2), (std::vector<uint64_t>{6, 7, 8, 9, 10}));
}

// The goodbye of a spoiled session must not make a real broker forget it.
TEST_P(MqttRefusal, T15_MosquittoSendsARefusedMessageAgain) {
  const TempDir dir("mqtt-refusal");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with([](uint64_t nth, std::string_view) {
    return nth % 50 == 0 ? PENSTOCK_EMIT_FULL : PENSTOCK_EMIT_OK;
  });
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  SentLog sent;
  MqttFeeder feeder(broker.port(), "feeder",
                    {{"plant/t", 500, [](uint64_t n) { return std::to_string(n); }, &sent}});
  feeder.start();
  for (uint64_t refusals = 1; refusals <= 2; ++refusals) {
    ASSERT_TRUE(wait_until([&] { return life.stat("refused_full") == refusals; }, Millis(20000)));
    if (refusals == 2) {
      ASSERT_TRUE(feeder.stop());
      life.host.answer_with(nullptr);
    }
    life.input().on_room();
  }
  const auto taken = [&] {
    const auto payloads = life.host.payloads();
    return std::set<std::string>(payloads.begin(), payloads.end());
  };
  EXPECT_TRUE(wait_until([&] { return taken().size() >= sent.size(); }, Millis(20000)));
  for (const auto& [number, at] : sent.snapshot()) {
    EXPECT_TRUE(taken().count(std::to_string(number))) << number;
  }
  EXPECT_EQ(life.stat("sessions_lost"), 0U);
}

TEST_P(MqttRefusal, ARefusedMessageWithQosZeroIsCountedAndStopsNothing) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.answer_with(refuse_at(2, PENSTOCK_EMIT_FULL));
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  for (const int qos : {1, 0, 1}) broker.publish({"plant/t", "x", qos, false, ""});
  EXPECT_TRUE(broker.wait_acks(2));
  EXPECT_EQ(life.stat("lost_qos0"), 1U);
  EXPECT_EQ(life.host.records().size(), 2U);
  EXPECT_EQ(broker.connections_ended(), 0U);
}

}  // namespace
}  // namespace penstock::test
