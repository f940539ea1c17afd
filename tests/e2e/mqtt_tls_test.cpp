// T10: TLS ends in the gate. Nothing is sent to a broker that cannot prove its name, and the status
// says why.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/feeder_mqtt.h"
#include "tests/support/mqtt_certificates.h"
#include "tests/support/mqtt_rig.h"
#include "tests/support/net.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

using mqtt::Version;

class MqttTls : public ::testing::Test {
 protected:
  void SetUp() override { good_ = make_authority(dir_.path(), "good", "plant-broker"); }

  // A mosquitto with one TLS listener, and a plain one for the feeder.
  void start_broker(const TestAuthority& files, bool ask_for_client) {
    std::ofstream conf(dir_.path() / "mosquitto.conf");
    conf << "user " << (::geteuid() == 0 ? "root" : "nobody") << "\nallow_anonymous true\n"
         << "listener " << plain_port_ << " 127.0.0.1\n"
         << "listener " << tls_port_ << " 127.0.0.1\n"
         << "certfile " << files.cert.string() << "\nkeyfile " << files.key.string() << "\n"
         << "cafile " << good_.ca.string() << "\n";
    if (ask_for_client) conf << "require_certificate true\n";
    conf.close();
    broker_ = std::make_unique<Process>(
        ProcessSpec{{"mosquitto", "-v", "-c", (dir_.path() / "mosquitto.conf").string()},
                    {},
                    dir_.path() / "mosquitto.log"});
    ASSERT_TRUE(wait_until([&] { return can_connect(plain_port_) && can_connect(tls_port_); },
                           Millis(15000)))
        << broker_->output();
  }

  mqtt::Settings settings() const {
    auto settings = mqtt_settings(tls_port_, Version::kV5);
    settings.server.tls = true;
    settings.tls.ca = good_.ca;
    settings.tls.server_name = "plant-broker";
    return settings;
  }

  void expect_refused(const mqtt::Settings& settings, const std::string& why) {
    MqttLife life(settings);
    life.start();
    EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_DOWN, why)) << life.host.state().second;
    EXPECT_THAT(broker_->output(), ::testing::Not(::testing::HasSubstr("New client connected")));
  }

  TempDir dir_{"mqtt-tls"};
  TestAuthority good_;
  uint16_t plain_port_ = free_tcp_port();
  uint16_t tls_port_ = free_tcp_port();
  std::unique_ptr<Process> broker_;
};

TEST_F(MqttTls, T10_TheRightAuthorityAndNameCarryMessages) {
  start_broker(good_, false);
  MqttLife life(settings());
  life.host.commit_with(instant_commit());
  life.start();
  ASSERT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP, "mqtts://127.0.0.1"))
      << life.host.state().second;
  MqttFeeder feeder(plain_port_, "feeder", {});
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(feeder.publish_and_wait("plant/t", std::string(50000, 'x'), Millis(10000)));
  }
  EXPECT_TRUE(life.host.wait_records(5));
  EXPECT_TRUE(wait_until([&] { return life.stat("acks_released") == 5; }, Millis(10000)));
}

TEST_F(MqttTls, T10_AWrongAuthorityIsRefused) {
  start_broker(good_, false);
  auto wrong = settings();
  wrong.tls.ca = make_authority(dir_.path(), "other", "x").ca;
  expect_refused(wrong, "certificate is not accepted for \"plant-broker\"");
}

TEST_F(MqttTls, T10_AWrongNameIsRefused) {
  start_broker(good_, false);
  auto wrong = settings();
  wrong.tls.server_name = "another-broker";
  expect_refused(wrong, "ostname mismatch");
}

TEST_F(MqttTls, T10_AnAddressThatIsNotInTheCertificateIsRefused) {
  start_broker(good_, false);
  auto wrong = settings();
  wrong.tls.server_name = "127.0.0.1";
  expect_refused(wrong, "IP address mismatch");
}

TEST_F(MqttTls, T10_AnExpiredCertificateIsRefused) {
  start_broker(make_authority(dir_.path(), "good", "plant-broker", -7200, -3600), false);
  auto late = settings();
  late.tls.ca = dir_.path() / "good-ca.pem";
  expect_refused(late, "certificate has expired");
}

TEST_F(MqttTls, T10_AClientCertificateIsPresented) {
  start_broker(good_, true);
  auto known = settings();
  known.tls.cert = good_.cert;
  known.tls.key = good_.key;
  MqttLife life(known);
  life.start();
  EXPECT_TRUE(life.host.wait_state(PENSTOCK_STATE_UP)) << life.host.state().second;
}

TEST_F(MqttTls, T10_AFileThatCannotBeReadIsNamed) {
  start_broker(good_, false);
  auto missing = settings();
  missing.tls.ca = dir_.path() / "no-such-file.pem";
  expect_refused(missing, "tls.ca: cannot use");
}

}  // namespace
}  // namespace penstock::test
