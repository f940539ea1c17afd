// Two inputs in one process at a real broker: they share the client library's threads and, with
// $share, the messages.
#include <algorithm>
#include <memory>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mosquitto.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

class MqttShared : public ::testing::TestWithParam<Version> {
 protected:
  MqttShared() { broker_.start(); }

  std::unique_ptr<MqttLife> live(const std::string& client_id, const std::string& filter) {
    auto settings = mqtt_settings(broker_.port(), GetParam());
    settings.client_id = client_id;
    settings.filters = {filter};
    auto life = std::make_unique<MqttLife>(settings);
    life->host.commit_with(instant_commit());
    life->start();
    EXPECT_TRUE(life->host.wait_state(PENSTOCK_STATE_UP)) << life->host.state().second;
    return life;
  }
  void publish(size_t count) {
    MqttFeeder feeder(broker_.port(), "feeder", {});
    feeder.start();
    for (size_t i = 0; i < count; ++i)
      ASSERT_TRUE(feeder.publish_and_wait("plant/t", std::to_string(i), Millis(20'000)));
  }

  TempDir dir_{"mqtt-shared"};
  Mosquitto broker_{dir_.path() / "broker"};
};

INSTANTIATE_TEST_SUITE_P(Versions, MqttShared, ::testing::Values(Version::kV5),
                         [](const auto& tested) { return version_label(tested.param); });

TEST_P(MqttShared, OfASharedSubscriptionEachMessageGoesToOneInput) {
  const auto one = live("one", "$share/penstock/plant/#");
  const auto two = live("two", "$share/penstock/plant/#");
  publish(40);
  const auto taken = [&] { return one->host.records().size() + two->host.records().size(); };
  ASSERT_TRUE(wait_until([&] { return taken() >= 40; }, Millis(20'000)));
  std::multiset<std::string> payloads;
  for (const auto* life : {one.get(), two.get()}) {
    EXPECT_FALSE(life->host.records().empty()) << "the other one takes it all";
    for (const auto& record : life->host.records()) {
      EXPECT_EQ(record.topic, "plant/t") << "the topic, not the subscription";
      payloads.insert(record.payload);
    }
  }
  EXPECT_EQ(payloads.size(), 40U);
  EXPECT_EQ(std::set<std::string>(payloads.begin(), payloads.end()).size(), 40U);
}

TEST_P(MqttShared, TwoInputsAtOneBrokerTakeEachTheirOwn) {
  const auto one = live("one", "plant/#");
  const auto two = live("two", "plant/+");
  publish(20);
  EXPECT_TRUE(one->host.wait_records(20));
  EXPECT_TRUE(two->host.wait_records(20));
  EXPECT_EQ(one->host.payloads(), two->host.payloads());
  EXPECT_TRUE(one->wait_stat("acks_released", 20));
  EXPECT_TRUE(two->wait_stat("acks_released", 20));
  // The end of one is not the end of the other.
  one->stop();
  publish(5);
  EXPECT_TRUE(two->host.wait_records(25));
}

}  // namespace
}  // namespace penstock::test
