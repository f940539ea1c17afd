// T7, T11, T14: a spool that cannot commit, and a broker that keeps what is not acknowledged.
#include <set>

#include <gtest/gtest.h>

#include "tests/support/at_rest.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

class MqttLimits : public ::testing::TestWithParam<Version> {
 protected:
  static std::set<std::string> different(const MqttLife& life) {
    const auto payloads = life.host.payloads();
    return {payloads.begin(), payloads.end()};
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttLimits, ::testing::Values(Version::kV311, Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

// The disk is full: commits fail, the queue keeps what it has and takes no more.
TEST_P(MqttLimits, T7_AFailedCommitAcknowledgesNothingAndEndsTheSessionUntilThereIsRoom) {
  constexpr size_t kMessages = 30;
  constexpr uint64_t kRoom = 20;
  ScriptBroker broker(kMessages);
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.keepalive = std::chrono::seconds(1);
  MqttLife life(settings);
  std::atomic<bool> full{true};
  std::atomic<uint64_t> early{0};
  // In the second connection message n is record kRoom + n: the first kRoom were queued before.
  broker.on_puback([&](const SeenAck& ack) {
    if (ack.connection < 2 || life.host.durable() < kRoom + ack.number) ++early;
  });
  life.host.answer_with([&](uint64_t nth, std::string_view) {
    return full && nth > kRoom ? PENSTOCK_EMIT_FULL : PENSTOCK_EMIT_OK;
  });
  life.host.commit_with([&](const std::vector<StoredRecord>&) { return !full; });
  publish_numbers(broker, kMessages);
  life.start();
  ASSERT_TRUE(broker.wait_for([&] { return broker.connections_ended() == 1; }));
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, "no room in the spool"));
  EXPECT_FALSE(wait_until([&] { return broker.connects().size() > 1; }, Millis(1500)));
  EXPECT_EQ(broker.acks().size(), 0U);
  EXPECT_EQ(life.host.durable(), 0U);
  EXPECT_EQ(life.host.records().size(), kRoom);

  full = false;
  ASSERT_TRUE(life.host.wait_durable(kRoom));
  EXPECT_EQ(broker.acks().size(), 0U) << "those acknowledgements died with their session";
  life.input().on_room();
  ASSERT_TRUE(broker.wait_acks(kMessages));
  EXPECT_EQ(early, 0U);
  EXPECT_EQ(different(life).size(), kMessages);
  EXPECT_EQ(broker.connects().size(), 2U);
}

// Against a broker that sends as fast as it can. What is counted is what was taken, as this host
// keeps the records in this very process; the memory of the agent is looked at in
// e2e_back_pressure_test.
TEST_P(MqttLimits, T11_WithABlockedSpoolOnlyAboutTheCapIsTakenAndAllOfItComesInTheEnd) {
  constexpr size_t kMessages = 500;
  constexpr size_t kEach = 64 << 10;
  constexpr size_t kCap = 4 << 20;
  const TempDir dir("mqtt-cap");
  Mosquitto broker(dir.path() / "broker");
  broker.start();
  auto settings = mqtt_settings(broker.port(), GetParam());
  settings.max_unacked_bytes = kCap;
  MqttLife life(settings);
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP));
  SentLog sent;
  MqttFeeder feeder(broker.port(), "feeder",
                    {{"plant/t", 400,
                      [](uint64_t n) {
                        auto text = std::to_string(n);
                        text.resize(kEach, ' ');
                        return text;
                      },
                      &sent}});
  feeder.start();
  ASSERT_TRUE(wait_until([&] { return sent.size() >= kMessages; }, Millis(60000)));
  ASSERT_TRUE(feeder.stop());
  // The cap, and what the sockets between broker, gate and Paho hold.
  ASSERT_TRUE(wait_at_rest([&] { return life.host.assigned(); }, Millis(20000), Millis(500)));
  const size_t seen = life.host.assigned();
  EXPECT_GT(seen * kEach, kCap / 2);
  EXPECT_LT(seen * kEach, 4 * kCap);
  EXPECT_EQ(life.stat("acks_released"), 0U);
  life.host.commit_with(instant_commit());
  EXPECT_TRUE(wait_until([&] { return different(life).size() == sent.size(); }, Millis(60000)));
}

// With the window of a broker as it comes: taken are twenty, owned by the broker are all.
TEST_P(MqttLimits, T14_WhileTheSpoolIsFrozenTheBrokerStillOwnsEveryMessage) {
  constexpr size_t kMessages = 500;
  const TempDir dir("mqtt-count");
  Mosquitto broker(dir.path() / "broker", 20);
  broker.start();
  SentLog sent;
  {
    MqttLife frozen(mqtt_settings(broker.port(), GetParam()));
    frozen.start();
    ASSERT_TRUE(frozen.host.wait_state(PENSTOCK_STATE_UP));
    MqttFeeder feeder(broker.port(), "feeder",
                      {{"plant/t", 2000, [](uint64_t n) { return std::to_string(n); }, &sent}});
    feeder.start();
    ASSERT_TRUE(wait_until([&] { return sent.size() >= kMessages; }, Millis(60000)));
    ASSERT_TRUE(feeder.stop());
    ASSERT_TRUE(frozen.host.wait_records(20));
    EXPECT_EQ(frozen.stat("acks_released"), 0U);
  }  // its session is taken over by the next
  MqttLife next(mqtt_settings(broker.port(), GetParam()));
  next.host.commit_with(instant_commit());
  next.start();
  EXPECT_TRUE(wait_until([&] { return different(next).size() >= sent.size(); }, Millis(60000)));
  const auto taken = different(next);
  for (const auto& [number, at] : sent.snapshot())
    EXPECT_TRUE(taken.count(std::to_string(number))) << number;
  EXPECT_GE(next.stat("duplicate_messages"), 20U);
}

}  // namespace
}  // namespace penstock::test
