// A password that was changed at the broker and in its file is used without a restart of the agent:
// nobody may be at the device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/mqtt_rig.h"

namespace penstock::test {
namespace {

using mqtt::Version;
using ::testing::Contains;
using ::testing::HasSubstr;

class MqttLogin : public ::testing::TestWithParam<Version> {
 protected:
  mqtt::Settings settings(const ScriptBroker& broker) const {
    auto settings = mqtt_settings(broker.port(), GetParam());
    settings.username = "gw";
    settings.password = "first";
    return settings;
  }
  // Lets in who knows `password_`; `code` for the others, or else what brokers say to them.
  void guard(ScriptBroker& broker, int code = 0) {
    if (code == 0) code = GetParam() == Version::kV5 ? 0x87 : 5;
    broker.answer_connect([this, code](const SeenConnect& seen) {
      const std::lock_guard lock(mutex_);
      return seen.password == password_ ? 0 : code;
    });
  }
  void change_at_the_broker(ScriptBroker& broker, const std::string& password) {
    {
      const std::lock_guard lock(mutex_);
      password_ = password;
    }
    broker.hang_up();
  }
  static size_t saying(const CommitHost& host, const std::string& text) {
    const auto logs = host.logs();
    return static_cast<size_t>(std::count_if(logs.begin(), logs.end(), [&](const auto& line) {
      return line.find(text) != std::string::npos;
    }));
  }

  std::mutex mutex_;
  std::string password_ = "first";
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttLogin, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttLogin, AChangedPasswordIsUsedOnceTheBrokerRefusesTheOldOne) {
  ScriptBroker broker;
  guard(broker);
  MqttLife life(settings(broker));
  life.host.set_password("second");
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(life.host.secrets_read(), 0U) << "the old one still serves";
  change_at_the_broker(broker, "second");
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "the broker refuses"));
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "session present"));
  EXPECT_EQ(broker.connects().back().password, "second");
  EXPECT_EQ(saying(life.host, "the password has changed"), 1U);
  broker.hang_up();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connects().size() == 4; }));
  EXPECT_EQ(broker.connects().back().password, "second");
  for (const auto& line : life.host.logs()) EXPECT_EQ(line.find("second"), std::string::npos);
}

TEST_P(MqttLogin, TheBrokerMayBeAheadOfTheFile) {
  ScriptBroker broker;
  guard(broker);
  MqttLife life(settings(broker));
  life.host.set_password("first");
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  change_at_the_broker(broker, "second");
  ASSERT_TRUE(wait_until([&] { return life.host.secrets_read() >= 3; }, Millis(20000)));
  life.host.set_password("");  // cannot be read just now
  const auto tried = broker.connects().size();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connects().size() >= tried + 2; }));
  EXPECT_EQ(broker.connects().back().password, "first");
  life.host.set_password("second");
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "session present"));
}

TEST_P(MqttLogin, WhatCannotBeAPasswordIsNamedOnceAndNotUsed) {
  ScriptBroker broker;
  guard(broker);
  MqttLife life(settings(broker));
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  life.host.set_password(std::string("sec\0nd", 6));
  change_at_the_broker(broker, "second");
  ASSERT_TRUE(wait_until([&] { return life.host.secrets_read() >= 3; }, Millis(20000)));
  EXPECT_EQ(saying(life.host, "password: contains a NUL character"), 1U);
  EXPECT_EQ(broker.connects().back().password, "first");
}

TEST_P(MqttLogin, AnotherRefusalIsNoReasonToReadIt) {
  ScriptBroker broker;
  guard(broker, GetParam() == Version::kV5 ? 0x88 : 3);
  MqttLife life(settings(broker));
  life.host.set_password("second");
  password_ = "second";
  life.start();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connects().size() >= 4; }));
  EXPECT_EQ(life.host.secrets_read(), 0U);
}

TEST_P(MqttLogin, AnOlderAgentIsNotAsked) {
  ScriptBroker broker;
  guard(broker);
  password_ = "second";
  MqttLife life(settings(broker));
  life.host.be_of_version_1_0();
  life.start();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connects().size() >= 4; }));
  EXPECT_EQ(life.host.secrets_read(), 0U);
}

}  // namespace
}  // namespace penstock::test
