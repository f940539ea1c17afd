// T10: TLS ends in the gate. Nothing is sent to a broker that cannot prove its name, and the status
// says why.
#include <fstream>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

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

// The name a client asks for in its handshake (SNI), without which a broker behind a shared address
// shows another one's certificate. Answers one connection.
class NameListener {
 public:
  explicit NameListener(const TestAuthority& files) : listener_(listen_loopback()) {
    SSL_CTX_use_certificate_chain_file(context_.get(), files.cert.c_str());
    SSL_CTX_use_PrivateKey_file(context_.get(), files.key.c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_set_tlsext_servername_callback(context_.get(), &NameListener::on_name);
    SSL_CTX_set_tlsext_servername_arg(context_.get(), this);
    thread_ = std::thread([this] { serve(); });
  }
  NameListener(const NameListener&) = delete;
  NameListener& operator=(const NameListener&) = delete;
  ~NameListener() {
    thread_.join();
    ::close(listener_.fd);
  }
  uint16_t port() const { return listener_.port; }
  std::string asked_for() { return asked_.get_future().get(); }

 private:
  static int on_name(SSL* ssl, int*, void* self) {
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    auto& listener = *static_cast<NameListener*>(self);
    if (!std::exchange(listener.told_, true)) listener.asked_.set_value(name ? name : "nothing");
    return SSL_TLSEXT_ERR_OK;
  }
  void serve() {
    const int fd = ::accept(listener_.fd, nullptr, nullptr);
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context_.get()), SSL_free);
    SSL_set_fd(ssl.get(), fd);
    SSL_accept(ssl.get());
    ::close(fd);
  }

  LoopbackListener listener_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_server_method()),
                                                             SSL_CTX_free};
  std::promise<std::string> asked_;
  bool told_ = false;
  std::thread thread_;
};

TEST_F(MqttTls, T10_TheBrokersNameIsAskedForAndAnAddressIsNot) {
  for (const auto& [name, expected] :
       {std::pair{"plant-broker", "plant-broker"}, std::pair{"127.0.0.1", "nothing"}}) {
    NameListener listener(good_);
    auto asking = settings();
    asking.server.port = listener.port();
    asking.tls.server_name = name;
    MqttLife life(asking);
    life.start();
    EXPECT_EQ(listener.asked_for(), expected);
  }
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

TEST_F(MqttTls, T10_AnEncryptedKeyIsNamedAndNobodyIsAskedForItsPassphrase) {
  start_broker(good_, true);
  auto locked = settings();
  locked.tls.cert = good_.cert;
  locked.tls.key = good_.locked_key;
  expect_refused(locked, "tls.key: the key " + good_.locked_key.string() +
                             " is encrypted; give one without a passphrase");
}

TEST_F(MqttTls, T10_AFileThatCannotBeReadIsNamed) {
  start_broker(good_, false);
  auto missing = settings();
  missing.tls.ca = dir_.path() / "no-such-file.pem";
  expect_refused(missing, "tls.ca: cannot use");
}

}  // namespace
}  // namespace penstock::test
