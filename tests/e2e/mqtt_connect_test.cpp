// Getting to the broker and staying there: versions, refusals, lost sessions, subscriptions, what a
// message carries.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/net.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;
using ::testing::HasSubstr;
using ::testing::Not;

class MqttConnect : public ::testing::TestWithParam<Version> {};

INSTANTIATE_TEST_SUITE_P(Versions, MqttConnect, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttConnect, AsksForASessionThatSurvivesAndSaysSo) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "new session"));
  const auto connect = broker.connects().at(0);
  EXPECT_EQ(connect.level, static_cast<int>(GetParam()));
  EXPECT_FALSE(connect.clean);
  EXPECT_EQ(connect.client_id, "gw-plc");
  if (GetParam() == Version::kV5) {
    // 3600 s, the receive maximum, and no limit of packets, which would lose what exceeds it.
    EXPECT_EQ(connect.properties, std::string("\x11\x00\x00\x0e\x10\x21\xff\xff", 8));
  }
  EXPECT_EQ(life.host.state().second, "connected to " + broker.url() + ", protocol " +
                                          (GetParam() == Version::kV5 ? "5" : "3.1.1") +
                                          ", new session");
}

TEST(MqttConnectAuto, FallsBackWhateverWayTheBrokerRefusesVersionFive) {
  for (const int how : {0x84, 1, -1, -2}) {
    SCOPED_TRACE(how);
    ScriptBroker broker;
    broker.answer_connect([how](const SeenConnect& seen) { return seen.level == 5 ? how : 0; });
    MqttLife life(mqtt_settings(broker.port(), std::nullopt));
    life.start();
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "protocol 3.1.1"));
    for (const auto& [state, text] : life.host.states()) {
      // On a starved machine Paho may give up its connection to the gate; that is no answer of the
      // broker, and the next attempt follows.
      const bool starved =
          text.find("MQTT error [-1]") != std::string::npos ||
          text.find("the client library closed the connection") != std::string::npos;
      EXPECT_TRUE(state != PENSTOCK_STATE_DOWN || starved) << text;
    }
  }
}

// Paho's own sockets: those of this process that are connected to the gate.
void cut_clients_of(uint16_t gate_port) {
  for (const int fd : own_connections_to(gate_port)) ::shutdown(fd, SHUT_RDWR);
}

// What a starved Paho does: it gives up its connection to the gate before the broker has answered.
// That says nothing of the broker: the next attempt follows at once, in the same version, silently.
TEST(MqttConnectAuto, AConnectionGivenUpBeforeTheAnswerIsTriedAgainInTheSameVersion) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), std::nullopt));
  std::atomic<int> cuts{0};
  broker.answer_connect([&](const SeenConnect&) {
    if (++cuts > 2) return 0;
    cut_clients_of(life.input().gate_port());
    return -4;
  });
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "protocol 5"));
  for (const auto& connect : broker.connects()) EXPECT_EQ(connect.level, 5);
  EXPECT_EQ(broker.connects().size(), 3U);
  for (const auto& [state, text] : life.host.states())
    EXPECT_NE(state, PENSTOCK_STATE_DOWN) << text;
}

// But not for ever without a word.
TEST(MqttConnectAuto, AConnectionGivenUpAgainAndAgainIsReported) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), Version::kV311));
  std::atomic<uint16_t> port{0};  // the broker outlives the input
  broker.answer_connect([&](const SeenConnect&) {
    if (port != 0) cut_clients_of(port);
    return -4;
  });
  life.start();
  port = static_cast<uint16_t>(life.input().gate_port());
  EXPECT_TRUE(
      life.host.wait_state(PENSTOCK_STATE_DOWN, "the client library closed the connection"));
  EXPECT_GE(broker.connects().size(), 4U);
}

TEST(MqttConnectAuto, AFixedVersionSaysThatTheBrokerDoesNotHaveIt) {
  ScriptBroker broker;
  broker.answer_connect([](const SeenConnect& seen) { return seen.level == 5 ? 0x84 : 0; });
  MqttLife life(mqtt_settings(broker.port(), Version::kV5));
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "protocol version not supported"));
}

TEST_P(MqttConnect, ARefusalIsToldInWordsOnceWithoutCredentialsAndRetried) {
  ScriptBroker broker;
  std::atomic<bool> welcome{false};
  const int code = GetParam() == Version::kV5 ? 0x86 : 4;
  broker.answer_connect([&](const SeenConnect&) { return welcome ? 0 : code; });
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.username = "gw-user";
  settings.password = "s3cret";
  MqttLife life(settings);
  life.start();
  ASSERT_TRUE(
      life.host.wait_state(PENSTOCK_STATE_DOWN, "the broker refuses: bad user name or password"));
  ASSERT_TRUE(broker.wait_for([&] { return broker.connects().size() >= 3; }));
  EXPECT_EQ(life.host.states().size(), 2U);  // STARTING, DOWN
  welcome = true;
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  for (const auto& [state, text] : life.host.states()) {
    EXPECT_EQ(text.find("s3cret"), std::string::npos);
    EXPECT_EQ(text.find("gw-user"), std::string::npos);
  }
}

TEST_P(MqttConnect, AServerThatDoesNotSpeakMqttIsNamedAsSuch) {
  ScriptBroker broker;
  broker.answer_connect([](const SeenConnect&) { return -3; });
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "does not speak MQTT"));
}

TEST_P(MqttConnect, ReconnectsWithoutSubscribingAgainWhenTheSessionIsThere) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.hang_up();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "session present"));
  EXPECT_EQ(broker.subscriptions().size(), 1U);
  EXPECT_TRUE(life.host.logs().empty());
  publish_numbers(broker, 3);
  EXPECT_TRUE(broker.wait_acks(3));
}

TEST_P(MqttConnect, ALostSessionIsADegradedStateAWarningAndANewSubscription) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.forget_session();
  broker.hang_up();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DEGRADED, "lost the session"));
  EXPECT_EQ(broker.subscriptions().size(), 2U);
  ASSERT_EQ(life.host.logs().size(), 1U);
  EXPECT_THAT(life.host.logs()[0], HasSubstr("client_id gw-plc"));
  EXPECT_EQ(life.stat("sessions_lost"), 1U);
  broker.hang_up();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "session present"));
}

// Both lost their power, and the broker keeps its sessions in memory only.
TEST_P(MqttConnect, ASessionForgottenWhileTheAgentWasAwayIsALostOneToo) {
  ScriptBroker broker;
  std::string note;
  {
    MqttLife life(mqtt_settings(broker.port(), GetParam()));
    life.start();
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "new session"));
    note = life.host.note();
  }
  broker.forget_session();
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.host.set_note(note);
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DEGRADED, "lost the session"));
  ASSERT_EQ(life.host.logs().size(), 1U);
  EXPECT_THAT(life.host.logs()[0], HasSubstr("has forgotten the session of client_id gw-plc"));
  EXPECT_EQ(life.stat("sessions_lost"), 1U);
}

TEST_P(MqttConnect, ARefusedSubscriptionIsNamedAndTheOthersWork) {
  ScriptBroker broker;
  const int refusal = GetParam() == Version::kV5 ? 0x87 : 0x80;
  broker.answer_subscribe([&](const std::string& filter, int qos) {
    return filter == "secret/#" ? refusal : filter == "cheap/#" ? 0 : qos;
  });
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.filters = {"secret/#", "plant/#", "cheap/#"};
  settings.qos = {1, 1, 1};
  MqttLife life(settings);
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DEGRADED, "subscription secret/# refused"));
  EXPECT_THAT(life.host.state().second, HasSubstr("subscription cheap/# granted with QoS 0 only"));
  EXPECT_EQ(life.host.state().second.find("plant/#"), std::string::npos);
  publish_numbers(broker, 3);
  EXPECT_TRUE(broker.wait_acks(3));
}

TEST_P(MqttConnect, AnInputWithEverySubscriptionRefusedIsDown) {
  ScriptBroker broker;
  broker.answer_subscribe([](const std::string&, int) { return 0x80; });
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "subscription plant/# refused"));
}

// An agent of version 1.0 has no way to set a message aside: it stays with the broker, and is
// named.
TEST_P(MqttConnect, AnOlderAgentIsToldOfAPacketOverTheLimit) {
  ScriptBroker broker;
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.max_packet_bytes = 10000;
  MqttLife life(settings);
  life.host.be_of_version_1_0();
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.publish({"plant/t", std::string(10001, 'x'), 1, false, ""});
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "max_packet_size (10000)"));
  EXPECT_EQ(life.host.records().size(), 0U);
}

TEST_P(MqttConnect, T11_APacketOfTenMegabytesPasses) {
  ScriptBroker broker;
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.max_packet_bytes = 11 << 20;
  MqttLife life(settings);
  life.host.commit_with(instant_commit());
  life.start();
  std::string payload(10 << 20, 'x');
  payload.back() = 'y';
  broker.publish({"plant/t", payload, 1, false, ""});
  ASSERT_TRUE(broker.wait_acks(1));
  EXPECT_EQ(life.host.payloads().at(0), payload);
}

TEST_P(MqttConnect, RetainedMessagesAreKeptOrSkippedAsConfigured) {
  for (const bool skip : {false, true}) {
    ScriptBroker broker;
    auto settings = mqtt_settings(broker.port(), GetParam());
    settings.skip_retained = skip;
    MqttLife life(settings);
    life.host.commit_with(instant_commit());
    life.start();
    broker.publish({"plant/t", "old", 1, true, ""});
    broker.publish({"plant/t", "new", 1, false, ""});
    ASSERT_TRUE(broker.wait_acks(2));  // a skipped one is acknowledged as well
    const auto expected =
        skip ? std::vector<std::string>{"new"} : std::vector<std::string>{"old", "new"};
    EXPECT_EQ(life.host.payloads(), expected);
  }
}

TEST_P(MqttConnect, TopicPayloadAndPropertiesBecomeTheRecord) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  const std::string properties = std::string(
                                     "\x03\0\x10"
                                     "application/json",
                                     19) +
                                 std::string("\x26\0\4unit\0\3bar", 12);
  const bool v5 = GetParam() == Version::kV5;
  const std::string binary("a\0b\xff", 4);
  broker.publish({"plant/a/t", binary, 1, false, v5 ? properties : ""});
  broker.publish({"plant/empty", "", 1, false, ""});
  ASSERT_TRUE(life.host.wait_records(2));
  const auto records = life.host.records();
  EXPECT_EQ(records[0].topic, "plant/a/t");
  EXPECT_EQ(records[0].payload, binary);
  std::map<std::string, std::string> expected;
  if (v5) expected = {{"mqtt.content_type", "application/json"}, {"mqtt.user.unit", "bar"}};
  EXPECT_EQ(records[0].attributes, expected);
  EXPECT_EQ(records[1].payload, "");
  EXPECT_TRUE(records[1].attributes.empty());
}

struct Broken {
  const char* name;
  std::string bytes;
  const char* text;  // of the state it leads to
};

std::ostream& operator<<(std::ostream& out, const Broken& broken) { return out << broken.name; }

// So that what a session ended for stays the state.
mqtt::Settings patient_settings(uint16_t port, Version version) {
  auto settings = mqtt_settings(port, version);
  settings.retry_min = settings.retry_max = std::chrono::minutes(1);
  return settings;
}

constexpr const char* kUnreadable = "a packet that the client library cannot read";

// A broker that breaks the protocol, each in a way that the client library answers differently.
class MqttBroken : public ::testing::TestWithParam<std::tuple<Version, Broken>> {};

INSTANTIATE_TEST_SUITE_P(
    Packets, MqttBroken,
    ::testing::Combine(
        ::testing::Values(Version::kV311, Version::kV5),
        ::testing::Values(
            Broken{"EmptyPublish", std::string("\x32\0", 2), "too short to be one"},
            Broken{"ShortPublish", std::string("\x32\2\0\0", 4), "too short to be one"},
            Broken{"TopicBeyondTheEnd", std::string("\x32\5\0\x40t\0\1", 7), kUnreadable},
            Broken{"QoS3", std::string("\x36\6\0\1t\0\1\0", 8), "with QoS 3"},
            Broken{"SecondConnack", std::string("\x20\3\0\0\0", 5), "second CONNACK"})),
    [](const auto& tested) {
      return version_label(std::get<0>(tested.param)) + std::get<1>(tested.param).name;
    });

TEST_P(MqttBroken, IsToldAsSuchCountedAndEndsTheSession) {
  const auto& [version, broken] = GetParam();
  ScriptBroker broker;
  MqttLife life(patient_settings(broker.port(), version));
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.send_raw(broken.bytes);
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, broken.text)) << life.host.state().second;
  EXPECT_EQ(life.stat("protocol_errors"), 1U);
  EXPECT_TRUE(life.host.records().empty());
}

TEST(MqttConnectV5, PropertiesThatCannotBeReadAreTheBrokersFault) {
  ScriptBroker broker;
  MqttLife life(patient_settings(broker.port(), Version::kV5));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.send_raw(std::string("\x32\x08\0\1t\0\1\2\x7f\x7f", 10));
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, kUnreadable)) << life.host.state().second;
}

TEST_P(MqttConnect, AnEmptySubackIsTheBrokersFault) {
  ScriptBroker broker;
  MqttLife life(patient_settings(broker.port(), GetParam()));
  broker.answer_subscribe([](const std::string&, int) { return -1; });
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, kUnreadable)) << life.host.state().second;
}

TEST_P(MqttConnect, ABrokerThatDoesNotAnswerPingsIsSlowNotBroken) {
  ScriptBroker broker;
  broker.answer_pings(false);
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.keepalive = std::chrono::seconds(1);
  MqttLife life(settings);
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "no answer within the keep-alive time"))
      << life.host.state().second;
  EXPECT_EQ(life.stat("protocol_errors"), 0U);
}

// A broker may bear less silence than was asked for, and hangs up on who does not listen.
TEST(MqttConnectV5, ABrokerThatWantsPingsMoreOftenGetsThem) {
  ScriptBroker broker;
  broker.greet_with(std::string("\x13\0\1", 3));  // Server Keep Alive, 1 s
  auto settings = mqtt_settings(broker.port(), Version::kV5);
  settings.keepalive = std::chrono::seconds(60);
  MqttLife life(settings);
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  ASSERT_TRUE(broker.wait_for([&] { return broker.pings() >= 3; }, Millis(20000)));
  publish_numbers(broker, 3);
  EXPECT_TRUE(broker.wait_acks(3));
  EXPECT_EQ(broker.connects().size(), 1U);
  broker.hang_up();  // for the next session as well
  const size_t before = broker.pings();
  EXPECT_TRUE(broker.wait_for([&] { return broker.pings() >= before + 2; }, Millis(20000)));
  life.stop();
  EXPECT_EQ(broker.disconnects(), 1U);
}

TEST(MqttConnectV5, ABrokerThatBearsMoreSilenceIsPingedAsConfigured) {
  ScriptBroker broker;
  broker.greet_with(std::string("\x13\0\x3c", 3));  // 60 s
  auto settings = mqtt_settings(broker.port(), Version::kV5);
  settings.keepalive = std::chrono::seconds(1);
  MqttLife life(settings);
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_TRUE(broker.wait_for([&] { return broker.pings() >= 2; }, Millis(20000)));
}

TEST(MqttConnectV5, TheBrokersReasonForEndingTheSessionIsTold) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), Version::kV5));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  broker.send_raw(std::string("\xE0\x01\x8E", 3));
  EXPECT_TRUE(
      life.host.wait_state(PENSTOCK_STATE_DOWN, "another client uses the same client_id gw-plc"));
}

// 3.1.1 has no way to say that another client came with the same client_id.
TEST_P(MqttConnect, ABrokerThatHangsUpTimeAndAgainLeadsToAQuestion) {
  ScriptBroker broker;
  MqttLife life(mqtt_settings(broker.port(), GetParam()));
  life.start();
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
    const auto told = life.host.states().size();
    broker.hang_up();
    ASSERT_TRUE(wait_until([&] { return life.host.states().size() > told; }, Millis(10000)));
  }
  std::vector<std::string> downs;
  for (const auto& [state, text] : life.host.states())
    if (state == PENSTOCK_STATE_DOWN) downs.push_back(text);
  ASSERT_EQ(downs.size(), 4U);
  const std::string question = "does another client use client_id gw-plc?";
  EXPECT_THAT(downs[0], HasSubstr("the broker closed the connection"));
  EXPECT_THAT(downs[1], Not(HasSubstr(question)));
  EXPECT_THAT(downs[2], HasSubstr(question));
  EXPECT_EQ(downs[3], downs[2]);
}

TEST_P(MqttConnect, TwoInputsWithOneClientIdAtMosquittoAreTold) {
  const TempDir dir("mqtt-rivals");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.retry_min = settings.retry_max = Millis(500);
  MqttLife one(settings);
  MqttLife other(settings);
  one.start();
  ASSERT_TRUE(one.host.wait_state(PENSTOCK_STATE_UP));
  other.start();
  const std::string told = "does another client use client_id gw-plc?";
  const auto said = [&](const MqttLife& life) {
    const auto states = life.host.states();
    return std::any_of(states.begin(), states.end(), [&](const auto& state) {
      return state.second.find(told) != std::string::npos;
    });
  };
  EXPECT_TRUE(wait_until([&] { return said(one) && said(other); }, Millis(60000)));
}

}  // namespace
}  // namespace penstock::test
