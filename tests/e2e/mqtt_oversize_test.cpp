// A message that can never be a record does not block its input: it is set aside by its head, and
// acknowledged once that is durable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;
using ::testing::HasSubstr;

constexpr uint32_t kLimit = 10000;
constexpr size_t kHead = 4096;

class MqttOversize : public ::testing::TestWithParam<Version> {
 protected:
  static mqtt::Settings settings(uint16_t port) {
    auto settings = mqtt_settings(port, GetParam());
    settings.max_packet_bytes = kLimit;
    return settings;
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttOversize, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttOversize, BetweenTwoGoodOnesItsHeadIsKeptAndItIsAcknowledgedAfterTheCommit) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  std::atomic<uint64_t> early{0};
  broker.on_puback([&](const SeenAck& ack) { early += life.host.durable() < ack.number ? 1 : 0; });
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  std::string large(70000, 'x');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>('a' + i % 26);
  const std::string unit("\x26\0\4unit\0\3bar", 12);
  broker.publish({"plant/t", "before", 1, false, ""});
  ASSERT_TRUE(life.host.wait_records(1));
  life.host.commit_now();  // so that only the large one's own record can hold its acknowledgement
  ASSERT_TRUE(broker.wait_acks(1));
  broker.publish({"plant/large", large, 1, false, GetParam() == Version::kV5 ? unit : ""});
  broker.publish({"plant/t", "after", 1, false, ""});
  ASSERT_TRUE(life.host.wait_records(3));
  EXPECT_FALSE(wait_until([&] { return broker.acks().size() > 1; }, Millis(300)));
  const auto records = life.host.records();
  EXPECT_EQ(records[0].payload, "before");
  EXPECT_EQ(records[0].reason, "");
  EXPECT_EQ(records[1].topic, "plant/large");
  EXPECT_EQ(records[1].payload, large.substr(0, kHead));
  const std::string size = GetParam() == Version::kV5 ? "70032" : "70019";
  EXPECT_EQ(records[1].reason, "MQTT packet of " + size +
                                   " bytes is above max_packet_size (10000); the first 4096 "
                                   "payload bytes are kept");
  EXPECT_EQ(records[2].payload, "after");
  EXPECT_EQ(records[2].reason, "");
  life.host.commit_now();
  ASSERT_TRUE(broker.wait_acks(3));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(broker.acks()[i].number, i + 1);
  EXPECT_EQ(early, 0U);
  EXPECT_EQ(broker.connects().size(), 1U);
  EXPECT_EQ(life.stat("oversize"), 1U);
  EXPECT_EQ(life.stat("too_big"), 0U);
}

TEST_P(MqttOversize, WithoutRoomForItsHeadItIsLeftToTheBrokerAndComesAgain) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  life.host.commit_with(instant_commit());
  life.host.answer_with([](uint64_t nth, std::string_view) {
    return nth == 2 ? PENSTOCK_EMIT_FULL : PENSTOCK_EMIT_OK;
  });
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.publish({"plant/t", "before", 1, false, ""});
  broker.publish({"plant/t", std::string(kLimit + 1, 'x'), 1, false, ""});
  broker.publish({"plant/t", "after", 1, false, ""});
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "no room"));
  life.input().on_room();
  ASSERT_TRUE(broker.wait_acks(3));
  const std::vector<std::string> expected{"before", std::string(kHead, 'x'), "after"};
  EXPECT_EQ(life.host.payloads(), expected);
  EXPECT_EQ(life.stat("oversize"), 1U);
}

TEST_P(MqttOversize, ManyInARowWithSmallAndLargeBetweenKeepTheirOrder) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  life.host.commit_with(instant_commit());
  life.start();
  constexpr size_t kMessages = 60;
  for (size_t i = 0; i < kMessages; ++i) {
    std::string payload = std::to_string(i) + " ";
    payload.resize(i % 3 == 0 ? 3 : i % 3 == 1 ? 20 * kLimit : kLimit / 2, '.');
    broker.publish({"plant/t", payload, static_cast<int>(i % 5 != 0), false, ""});
  }
  ASSERT_TRUE(life.host.wait_records(kMessages));
  ASSERT_TRUE(broker.wait_acks(kMessages - kMessages / 5));
  const auto records = life.host.records();
  for (size_t i = 0; i < kMessages; ++i) {
    EXPECT_EQ(std::stoul(records[i].payload), i);
    EXPECT_EQ(records[i].reason.empty(), i % 3 != 1) << i;
  }
}

TEST_P(MqttOversize, ATopicThatIsNoneIsSetAsideReadable) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  life.host.commit_with(instant_commit());
  life.start();
  broker.publish({"plant/\xff/t", "bad", 1, false, ""});
  broker.publish({"plant/t", "good", 1, false, ""});
  ASSERT_TRUE(broker.wait_acks(2));
  const auto records = life.host.records();
  EXPECT_EQ(records[0].topic, "plant/\\xff/t");
  EXPECT_EQ(records[0].payload, "bad");
  EXPECT_EQ(records[0].reason, "the topic is not valid UTF-8");
  EXPECT_EQ(records[1].payload, "good");
  EXPECT_EQ(records[1].reason, "");
  EXPECT_EQ(life.stat("undecodable"), 1U);
}

TEST_P(MqttOversize, WhatIsTooLargeAndHasATopicThatIsNoneSaysBoth) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  life.host.commit_with(instant_commit());
  life.start();
  broker.publish({"plant/\xff/t", std::string(70000, 'x'), 1, false, ""});
  ASSERT_TRUE(broker.wait_acks(1));
  const auto records = life.host.records();
  EXPECT_EQ(records[0].topic, "plant/\\xff/t");
  EXPECT_EQ(records[0].payload.size(), kHead);
  EXPECT_NE(records[0].reason.find(" is above max_packet_size (10000); "), std::string::npos);
  EXPECT_NE(records[0].reason.find("; the topic is not valid UTF-8"), std::string::npos)
      << records[0].reason;
  EXPECT_EQ(life.stat("oversize"), 1U) << "one message, one counter";
  EXPECT_EQ(life.stat("undecodable"), 0U);
}

// On a slow line the broker's answers to pings stand behind the packet.
TEST_P(MqttOversize, APacketThatTakesLongerThanTheKeepAliveDoesNotEndTheSession) {
  constexpr size_t kSteps = 280;
  ScriptBroker broker;
  broker.answer_pings(false);
  auto patient = settings(broker.port());
  patient.keepalive = std::chrono::seconds(3);  // much more than a busy machine makes threads wait
  MqttLife life(patient);
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  const std::string properties = GetParam() == Version::kV5 ? std::string(1, '\0') : "";
  std::string body = std::string("\0\7plant/t\0\7", 11) + properties;
  body.resize(14000, 'x');
  broker.send_raw(std::string("\x32\xb0\x6d", 3));
  size_t sent = 0;
  for (; sent < kSteps; ++sent) {
    broker.send_raw(body.substr(sent * body.size() / kSteps, body.size() / kSteps));
    const auto over = [&] { return broker.connections_ended() > 0 || broker.pings() >= 2; };
    if (broker.wait_for(over, Millis(100))) break;
  }
  EXPECT_EQ(broker.connections_ended(), 0U);
  EXPECT_GE(broker.pings(), 2U) << "the answer to the first, which only we can have given";
  broker.send_raw(body.substr(std::min(sent + 1, kSteps) * body.size() / kSteps));
  broker.answer_pings(true);
  ASSERT_TRUE(life.host.wait_records(1));
  EXPECT_THAT(life.host.records()[0].reason, HasSubstr("packet of 14003 bytes"));
  EXPECT_TRUE(broker.wait_acks(1));
}

TEST_P(MqttOversize, APublishWhoseTopicCannotBeReadEndsTheSessionNamed) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port()));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  std::string body("\xff\xff", 2);
  body.resize(14000, 'x');
  broker.send_raw(std::string("\x32\xb0\x6d", 3) + body);
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "whose topic cannot be read"));
}

// In both versions: told of the limit, a broker would drop what is above it without a word.
TEST_P(MqttOversize, AgainstMosquittoTheInputGoesOn) {
  const TempDir dir("mqtt-oversize");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  MqttFeeder feeder(broker.port(), "feeder", {});
  feeder.start();
  const Millis soon(20000);
  for (const bool again : {false, true}) {  // once more: nothing came back with the session
    MqttLife life(settings(broker.port()));
    life.host.commit_with(instant_commit());
    life.start();
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, again ? "session present" : "new"));
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", "before", soon));
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", std::string(300000, 'x'), soon));
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", "after", soon));
    ASSERT_TRUE(wait_until(
        [&] {
          const auto payloads = life.host.payloads();
          return !payloads.empty() && payloads.back() == "after";
        },
        soon));
    const std::vector<std::string> expected{"before", std::string(kHead, 'x'), "after"};
    EXPECT_EQ(life.host.payloads(), expected);
    EXPECT_EQ(life.stat("oversize"), 1U);
    EXPECT_EQ(life.stat("connections"), 1U);
    EXPECT_TRUE(life.wait_stat("acks_released", expected.size()));
    life.stop();
  }
}

}  // namespace
}  // namespace penstock::test
