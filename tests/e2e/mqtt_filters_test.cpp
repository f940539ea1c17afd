// A subscription that left the configuration ends at the broker, and is not queued for any more.
#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugins/mqtt/filter_note.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::decode_filter_note;
using mqtt::FilterNote;
using mqtt::Version;
using ::testing::HasSubstr;
using Filters = std::vector<std::string>;

class MqttFilters : public ::testing::TestWithParam<Version> {
 protected:
  static mqtt::Settings settings(uint16_t port, Filters filters) {
    auto settings = mqtt_settings(port, GetParam());
    settings.filters = std::move(filters);
    settings.qos.assign(settings.filters.size(), 1);
    return settings;
  }
  // One life of an input with these filters; what was kept is taken over and kept again.
  void run(ScriptBroker& broker, const Filters& filters, penstock_state state = PENSTOCK_STATE_UP) {
    MqttLife life(settings(broker.port(), filters));
    life.host.set_note(note_);
    life.start();
    ASSERT_TRUE(life.host.wait_state(state));
    note_ = life.host.note();
    life.stop();
  }
  Filters kept() const { return decode_filter_note(note_).value_or(FilterNote{}).filters; }

  std::string note_;
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttFilters, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttFilters, OneThatWasRemovedIsUnsubscribedOnce) {
  ScriptBroker broker;
  run(broker, {"plant/#", "old/#", "older/#"});
  EXPECT_EQ(kept(), (Filters{"plant/#", "old/#", "older/#"}));
  EXPECT_TRUE(broker.unsubscriptions().empty());
  run(broker, {"plant/#", "new/#"});
  EXPECT_EQ(broker.unsubscriptions(), (Filters{"old/#", "older/#"}));
  EXPECT_EQ(kept(), (Filters{"plant/#", "new/#"}));
  run(broker, {"plant/#", "new/#"});
  EXPECT_EQ(broker.unsubscriptions().size(), 2U);
}

TEST_P(MqttFilters, WithAForgottenSessionThereIsNothingToEnd) {
  ScriptBroker broker;
  run(broker, {"plant/#", "old/#"});
  broker.forget_session();
  run(broker, {"plant/#"}, PENSTOCK_STATE_DEGRADED);
  EXPECT_TRUE(broker.unsubscriptions().empty());
  EXPECT_EQ(kept(), (Filters{"plant/#"}));
}

// Whatever moment a crash chooses, no filter is at the broker that is not written down.
TEST_P(MqttFilters, AFilterIsWrittenDownBeforeItIsAskedFor) {
  ScriptBroker broker;
  MqttLife life(settings(broker.port(), {"plant/#"}));
  std::atomic<int> unknown{0};
  broker.answer_subscribe([&](const std::string& filter, int qos) {
    const auto note = decode_filter_note(life.host.note());
    const bool known = note && std::count(note->filters.begin(), note->filters.end(), filter) == 1;
    unknown += known ? 0 : 1;
    return qos;
  });
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  EXPECT_EQ(unknown, 0);
  EXPECT_EQ(decode_filter_note(life.host.note()),
            (FilterNote{"gw-plc", broker.url(), {"plant/#"}}));
}

TEST_P(MqttFilters, TheNoteOfAnotherClientIdIsNotActedOn) {
  ScriptBroker broker;
  run(broker, {"plant/#"});
  note_ = mqtt::encode_filter_note({"someone", broker.url(), {"old/#"}});
  run(broker, {"plant/#"});
  EXPECT_TRUE(broker.unsubscriptions().empty());
}

// It has not forgotten a session that it never had.
TEST_P(MqttFilters, AnotherServerIsNotTakenForOneThatLostTheSession) {
  ScriptBroker broker;
  run(broker, {"plant/#"});
  EXPECT_EQ(decode_filter_note(note_)->server, broker.url());
  ScriptBroker other;
  run(other, {"plant/#"});  // UP, not DEGRADED
  EXPECT_EQ(decode_filter_note(note_)->server, other.url());
  other.forget_session();
  run(other, {"plant/#"}, PENSTOCK_STATE_DEGRADED);
}

// A new address of the same broker: what left the configuration is with the session there.
TEST_P(MqttFilters, TheSameBrokerAtAnotherAddressIsToldWhatWasRemoved) {
  ScriptBroker broker;
  run(broker, {"plant/#", "old/#"});
  auto note = *decode_filter_note(note_);
  note.server = "mqtt://before:1883";
  note_ = mqtt::encode_filter_note(note);
  run(broker, {"plant/#"});
  EXPECT_EQ(broker.unsubscriptions(), (Filters{"old/#"}));
  EXPECT_EQ(decode_filter_note(note_)->server, broker.url());
}

TEST_P(MqttFilters, ANoteWithoutAServerIsTakenForThisOnes) {
  ScriptBroker broker;
  note_ = "penstock-mqtt-filters 1\n6:gw-plc\n7:plant/#\n";
  run(broker, {"plant/#"}, PENSTOCK_STATE_DEGRADED);
  EXPECT_EQ(decode_filter_note(note_)->server, broker.url());
}

TEST(MqttFiltersV5, OneThatTheBrokerDoesNotEndIsNamedAndTriedAgain) {
  ScriptBroker broker;
  broker.answer_unsubscribe(0x87);
  auto settings = mqtt_settings(broker.port(), Version::kV5);
  std::string note;
  for (size_t restarts = 0; restarts < 3; ++restarts) {
    MqttLife life(settings);
    life.host.set_note(note);
    life.start();
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
    EXPECT_EQ(broker.unsubscriptions().size(), restarts);
    if (restarts == 0) {
      note = mqtt::encode_filter_note({"gw-plc", broker.url(), {"plant/#", "old/#"}});
    } else {
      ASSERT_EQ(life.host.logs().size(), 1U);
      EXPECT_THAT(life.host.logs()[0], HasSubstr("does not end the subscription old/#"));
      EXPECT_EQ(life.host.note(), note);
    }
    life.stop();
  }
}

TEST_P(MqttFilters, AtMosquittoNothingMoreIsDeliveredOrQueuedForIt) {
  const TempDir dir("mqtt-filters");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  MqttFeeder feeder(broker.port(), "feeder", {});
  feeder.start();
  const Millis soon(20000);
  std::string note;
  const auto live = [&](const Filters& filters, const std::string& name, Filters& taken) {
    MqttLife life(settings(broker.port(), filters));
    life.host.set_note(note);
    life.host.commit_with(instant_commit());
    life.start();
    ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
    ASSERT_TRUE(feeder.publish_and_wait("old/t", "old " + name, soon));
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", "new " + name, soon));
    ASSERT_TRUE(wait_until(
        [&] {
          taken = life.host.payloads();
          return std::count(taken.begin(), taken.end(), "new " + name) == 1;
        },
        soon));
    note = life.host.note();
    life.stop();
  };
  Filters taken;
  live({"plant/#", "old/#"}, "1", taken);
  EXPECT_EQ(taken, (Filters{"old 1", "new 1"}));
  live({"plant/#"}, "2", taken);
  EXPECT_EQ(taken, (Filters{"new 2"}));
  ASSERT_TRUE(feeder.publish_and_wait("old/t", "old between", soon));
  ASSERT_TRUE(feeder.publish_and_wait("plant/t", "new between", soon));
  live({"plant/#"}, "3", taken);
  EXPECT_EQ(taken, (Filters{"new between", "new 3"}));
}

}  // namespace
}  // namespace penstock::test
