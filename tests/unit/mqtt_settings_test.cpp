// T13: what a configuration may say, and what the person who got it wrong is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/mqtt/mqtt_input.h"
#include "plugins/mqtt/settings.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/mqtt_commit_host.h"

namespace penstock::mqtt {
namespace {

using test::OptionValues;
using ::testing::HasSubstr;

OptionValues minimal() {
  OptionValues values;
  values.text("server", "mqtt://10.0.4.10").text("subscribe[0].filter", "plant/+/telemetry");
  return values;
}

Settings parse(const OptionValues& values) {
  const test::FakePluginHost host;
  return parse_settings(host.face(), values.options());
}

std::string complaint(const OptionValues& values) {
  try {
    parse(values);
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

std::string server_complaint(const std::string& url) {
  try {
    parse_server(url);
  } catch (const std::invalid_argument& problem) {
    return problem.what();
  }
  return "";
}

TEST(MqttSettings, T13_TheMinimumTakesTheDocumentedDefaults) {
  const Settings settings = parse(minimal());
  EXPECT_EQ(settings.server.text(), "mqtt://10.0.4.10:1883");
  EXPECT_EQ(settings.client_id, "test-agent-under_test");
  EXPECT_FALSE(settings.protocol);
  EXPECT_EQ(settings.session_expiry, std::chrono::hours(7 * 24));
  EXPECT_EQ(settings.keepalive, std::chrono::seconds(60));
  EXPECT_EQ(settings.qos, std::vector<int>{1});
  EXPECT_FALSE(settings.skip_retained);
  EXPECT_EQ(settings.receive_maximum, 1000U);
  EXPECT_EQ(settings.max_packet_bytes, 10U << 20);
  EXPECT_EQ(settings.max_unacked_bytes, 16U << 20);
}

TEST(MqttSettings, T13_QosTwoIsRefusedWithTheReason) {
  auto values = minimal();
  values.number("subscribe[0].qos", 2);
  EXPECT_THAT(complaint(values), HasSubstr("subscribe[0].qos: 2 is not offered"));
  EXPECT_THAT(complaint(values), HasSubstr("power cut"));
  EXPECT_THAT(complaint(values), HasSubstr("qos: 1"));
}

// With such a session QoS 1 would hold nothing while the agent is away.
TEST(MqttSettings, T13_ASessionThatEndsWithItsConnectionIsRefusedWithTheReason) {
  for (const char* name : {"clean_session", "clean_start"}) {
    auto values = minimal();
    values.number(name, 1, PENSTOCK_OPTION_BOOL);
    EXPECT_THAT(complaint(values), HasSubstr(std::string(name) + ": a clean session is not"));
    EXPECT_THAT(complaint(values), HasSubstr("while the agent is away"));
    auto kept = minimal();
    kept.number(name, 0, PENSTOCK_OPTION_BOOL);
    EXPECT_EQ(complaint(kept), "") << "what it is anyway";
  }
  auto none = minimal();
  none.number("session_expiry", 0, PENSTOCK_OPTION_DURATION);
  EXPECT_THAT(complaint(none), HasSubstr("session_expiry: must be at least 1s"));
  EXPECT_THAT(complaint(none), HasSubstr("while the agent is away"));
  auto shortest = minimal();
  shortest.number("session_expiry", 1, PENSTOCK_OPTION_DURATION);
  EXPECT_EQ(parse(shortest).session_expiry, std::chrono::seconds(1));
}

TEST(MqttSettings, T13_CreateReportsTheComplaintInsteadOfThrowing) {
  auto values = minimal();
  values.number("subscribe[0].qos", 2);
  using Glue = sdk::detail::Glue<MqttInput>;
  test::FakePluginHost host;
  void* instance = nullptr;
  char error[200] = "";
  EXPECT_NE(Glue::create(host.host(), values.values().data(), values.values().size(), &instance,
                         error, sizeof error),
            0);
  EXPECT_THAT(error, HasSubstr("qos: 2"));
  EXPECT_EQ(instance, nullptr);
}

TEST(MqttSettings, T13_AddressesAreTakenApart) {
  EXPECT_EQ(parse_server("mqtt://plc").port, 1883);
  EXPECT_EQ(parse_server("tcp://plc:99").port, 99);
  EXPECT_EQ(parse_server("mqtts://plc").port, 8883);
  EXPECT_TRUE(parse_server("ssl://plc").tls);
  EXPECT_EQ(parse_server("mqtts://[::1]:8884").host, "::1");
  EXPECT_EQ(parse_server("mqtts://[::1]:8884").text(), "mqtts://[::1]:8884");
  EXPECT_EQ(parse_server("mqtt://plc:1883/").host, "plc");
}

TEST(MqttSettings, T13_BadAddressesSayWhatIsWrong) {
  EXPECT_THAT(server_complaint("10.0.4.10:1883"), HasSubstr("mqtt://host:port"));
  EXPECT_THAT(server_complaint("ws://plc"), HasSubstr("WebSockets"));
  EXPECT_THAT(server_complaint("mqtt://"), HasSubstr("host is missing"));
  EXPECT_THAT(server_complaint("mqtt://plc:"), HasSubstr("no port"));
  EXPECT_THAT(server_complaint("mqtt://plc:0"), HasSubstr("1 to 65535"));
  EXPECT_THAT(server_complaint("mqtt://plc:65536"), HasSubstr("1 to 65535"));
  EXPECT_THAT(server_complaint("mqtt://plc:18x3"), HasSubstr("1 to 65535"));
  EXPECT_THAT(server_complaint("mqtt://::1"), HasSubstr("brackets"));
  EXPECT_THAT(server_complaint("mqtt://[::1"), HasSubstr("]"));
  EXPECT_THAT(server_complaint("mqtt://plc/path"), HasSubstr("nothing may follow"));
  EXPECT_THAT(server_complaint(""), HasSubstr("mqtt://host:port"));
}

TEST(MqttSettings, T13_CredentialsInTheAddressAreRefusedAndNotRepeated) {
  const std::string said = server_complaint("mqtt://gw:s3cret@plc:1883");
  EXPECT_THAT(said, HasSubstr("username and password"));
  EXPECT_EQ(said.find("s3cret"), std::string::npos);
}

TEST(MqttSettings, T13_FiltersMustBeFilters) {
  for (const char* bad : {"plant/#/x", "plant#", "a+/b", "a/+b", "##", ""}) {
    auto values = OptionValues();
    values.text("server", "mqtt://plc").text("subscribe[0].filter", bad);
    EXPECT_THAT(complaint(values), HasSubstr("subscribe[0].filter")) << bad;
  }
  for (const char* good : {"#", "+", "plant/+/telemetry", "plant/#", "/", "$share/gw/plant/+"}) {
    auto values = OptionValues();
    values.text("server", "mqtt://plc").text("subscribe[0].filter", good);
    EXPECT_EQ(complaint(values), "") << good;
  }
}

// Brokers take them, and nothing ever comes.
TEST(MqttSettings, T13_SharedSubscriptionsAreWhole) {
  for (const char* bad : {"$share", "$share/", "$share/g", "$share/g/", "$share/#", "$share/+/x",
                          "$share//x", "$share/g#/x", "$share/a+b/x"}) {
    auto values = OptionValues();
    values.text("server", "mqtt://plc").text("subscribe[0].filter", bad);
    EXPECT_THAT(complaint(values), HasSubstr("$share/NAME/FILTER")) << bad;
  }
  auto wrong = OptionValues();
  wrong.text("server", "mqtt://plc").text("subscribe[0].filter", "$share/g/#/x");
  EXPECT_THAT(complaint(wrong), HasSubstr("# must stand alone"));
  for (const char* good : {"$share/g/#", "$share/g//x", "$share/g/+/x", "$shared", "a/$share/g"}) {
    auto values = OptionValues();
    values.text("server", "mqtt://plc").text("subscribe[0].filter", good);
    EXPECT_EQ(complaint(values), "") << good;
  }
}

TEST(MqttSettings, T13_NothingSubscribedIsRefused) {
  OptionValues values;
  values.text("server", "mqtt://plc");
  EXPECT_THAT(complaint(values), HasSubstr("subscribe: at least one"));
}

TEST(MqttSettings, T13_TlsOptionsNeedATlsAddressAndComeInPairs) {
  auto plain = minimal();
  plain.text("tls.ca", "/etc/ca.pem", PENSTOCK_OPTION_PATH);
  EXPECT_THAT(complaint(plain), HasSubstr("mqtts://"));
  OptionValues half;
  half.text("server", "mqtts://plc").text("subscribe[0].filter", "#").text("tls.cert", "/c.pem");
  EXPECT_THAT(complaint(half), HasSubstr("tls.cert and tls.key"));
}

// A library that takes C strings would log in with half of it.
TEST(MqttSettings, T13_TextsThatCannotBeSentAreRefusedByName) {
  const std::string cut("a\0b", 3);
  for (const char* name : {"client_id", "username", "password"}) {
    for (const auto& bad : {cut, std::string(65536, 's')}) {
      auto values = minimal();
      if (name == std::string("password")) values.text("username", "gw");
      values.text(name, bad);
      EXPECT_THAT(complaint(values), HasSubstr(std::string(name) + ": ")) << bad.size();
      EXPECT_EQ(complaint(values).find("sss"), std::string::npos) << "not repeated";
    }
  }
  EXPECT_THAT(server_complaint("mqtt://" + cut), HasSubstr("NUL"));
  OptionValues tls;
  tls.text("server", "mqtts://plc").text("subscribe[0].filter", "#").text("tls.server_name", cut);
  EXPECT_THAT(complaint(tls), HasSubstr("tls.server_name: contains a NUL character"));
}

TEST(MqttSettings, T13_APasswordNeedsAUserName) {
  auto values = minimal();
  values.text("password", "s3cret", PENSTOCK_OPTION_SECRET);
  EXPECT_THAT(complaint(values), HasSubstr("username"));
  EXPECT_EQ(complaint(values).find("s3cret"), std::string::npos);
}

}  // namespace
}  // namespace penstock::mqtt
