// The local server's gRPC port with TLS: a client that trusts the certificate gets through, others
// do not.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/mqtt_certificates.h"
#include "tests/zerobus_local/test_client.h"

namespace penstock::local::testing {
namespace {

using ::testing::HasSubstr;

std::string contents(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

class LocalTls : public ServerTest {
 protected:
  ServerOptions with_tls(const test::TestAuthority& files) const {
    auto with = options();
    with.tls_cert = files.cert;
    with.tls_key = files.key;
    return with;
  }
  void trust(const std::filesystem::path& ca) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);
    arguments.SetSslTargetNameOverride("localhost");
    channel_ = grpc::CreateCustomChannel(server_->grpc_address(),
                                         grpc::SslCredentials({contents(ca), "", ""}), arguments);
  }
  test::TestAuthority right_ = test::make_authority(dir_.path(), "right", "localhost");
};

TEST_F(LocalTls, RowsLandThroughTlsAndAStrangerIsNotTrusted) {
  start(with_tls(right_));
  trust(test::make_authority(dir_.path(), "wrong", "localhost").ca);
  auto stranger = open();
  EXPECT_EQ(stranger->create_json(), "");
  EXPECT_EQ(stranger->finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  trust(right_.ca);
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  EXPECT_TRUE(stream->wait_for_ack(0));
  EXPECT_EQ(Lakehouse(data()).count(kTable), 1);
}

TEST_F(LocalTls, WithoutTlsThePortIsPlain) {
  start(with_tls(right_));
  EXPECT_EQ(open()->create_json(), "");
}

TEST_F(LocalTls, WhatCannotServeIsNamed) {
  const auto refusal = [&](const std::string& cert, const std::string& key) {
    auto with = options();
    with.tls_cert = cert;
    with.tls_key = key;
    const auto started = Server::start(with, Log::none());
    return started ? std::string("started") : started.error().what;
  };
  const auto other = test::make_authority(dir_.path(), "other", "localhost");
  EXPECT_THAT(refusal(right_.cert, ""), HasSubstr("give both or none"));
  EXPECT_THAT(refusal("/nonexistent/cert.pem", right_.key),
              HasSubstr("--tls-cert: cannot read /nonexistent/cert.pem: No such file"));
  EXPECT_THAT(refusal(right_.cert, right_.cert), HasSubstr("holds no PEM block 'PRIVATE KEY'"));
  EXPECT_THAT(refusal(right_.cert, other.key), HasSubstr("belong together"));
}

}  // namespace
}  // namespace penstock::local::testing
