// The whole path with client credentials: the agent gets its token from a workspace, the service
// refuses the first one, and the rows arrive without a person.
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/payloads.h"
#include "tests/support/agent_process.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/https_server.h"
#include "tests/support/lakehouse.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"

namespace penstock::e2e {
namespace {

using test::Millis;
using testing::HasSubstr;
using testing::Not;

constexpr Millis kGenerous{60'000};
constexpr const char* kTable = "main.demo.vibration";

// Answers 503 once, then gives tokens; the first of them is one the service does not accept.
class Workspace {
 public:
  Workspace() : server_([this](const test::WebRequest& request) { return answer(request); }) {}
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }
  std::vector<test::WebRequest> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  test::WebAnswer answer(const test::WebRequest& request) {
    const std::lock_guard lock(mutex_);
    seen_.push_back(request);
    if (seen_.size() == 1) return {503, "", {}};
    const std::string token = seen_.size() == 2 ? "revoked-t0ken" : "issued-t0ken";
    return {200, R"({"access_token":")" + token + R"(","expires_in":3600})", {}};
  }

  std::mutex mutex_;
  std::vector<test::WebRequest> seen_;
  test::HttpsServer server_;
};

class OAuth : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    std::ofstream(dir_.path() / name) << text;
  }
  std::string config() const {
    return "version: 1\nagent: {id: gw-oauth}\nspool: {dir: spool, min_free: "
           "1MiB}\ndestinations:\n  d:\n"
           "    endpoint: http://127.0.0.1:" +
           std::to_string(service_port_) + "\n    workspace_url: " + workspace_.url() +
           "\n    auth: {client_id: app-1, client_secret: \"${file:secret}\"}\n"
           "    batch: {max_delay: 50ms}\n    backoff: {min: 50ms, max: 200ms}\n"
           "inputs: {u: {plugin: udp, listen: \"127.0.0.1:" +
           std::to_string(udp_port_) +
           "\", topic: v}}\nroutes:\n  - {name: v, match: {input: u}, table: " + kTable +
           ", columns: {n: {from: \"${payload.n}\", as: bigint}}}\n";
  }

  const uint16_t service_port_ = test::free_tcp_port();
  const uint16_t udp_port_ = test::free_udp_port();
  test::TempDir dir_{"oauth"};
  Workspace workspace_;
};

TEST_F(OAuth, RowsArriveAlthoughTheWorkspaceIsTroubledAndTheFirstTokenIsRefused) {
  write("secret", "dose-s3cr3t\n");
  write("penstock.yaml", config());
  test::Process service(
      {{test::build_dir() + "/bin/penstock-zerobus-local", "--tables",
        test::source_dir() + "/conf/demo-tables.yaml", "--data", (dir_.path() / "data").string(),
        "--listen", "127.0.0.1:" + std::to_string(service_port_), "--admin", "127.0.0.1:0",
        "--token", "issued-t0ken"},
       {},
       dir_.path() / "service.log"});
  ASSERT_TRUE(service.wait_for_line("ready grpc=", kGenerous)) << service.output();
  test::AgentProcess agent({test::build_dir() + "/agent/penstock",
                            dir_.path() / "penstock.yaml",
                            test::build_dir() + "/plugins",
                            dir_.path() / "agent.log",
                            {}});
  agent.start();
  ASSERT_TRUE(agent.wait_ready()) << agent.log();

  test::SentLog sent;
  test::UdpFeeder feeder(udp_port_, {"", 100, vibration_payload, &sent});
  feeder.start();
  const test::Lakehouse lakehouse(dir_.path() / "data" / "lakehouse.db");
  EXPECT_TRUE(test::wait_until([&] { return lakehouse.ids(kTable).size() >= 20; }, kGenerous))
      << agent.log();
  feeder.stop();
  EXPECT_EQ(agent.stop(), 0) << agent.log();

  const auto seen = workspace_.seen();
  ASSERT_EQ(seen.size(), 3u) << "trouble, the token that is refused, the good one";
  EXPECT_EQ(seen[2].target, "/oidc/v1/token");
  EXPECT_EQ(seen[2].headers.at("authorization"), "Basic YXBwLTE6ZG9zZS1zM2NyM3Q=");
  EXPECT_THAT(seen[2].body, HasSubstr("main.demo.vibration"));
  for (const std::string secret : {"s3cr3t", "t0ken", "YXBwLTE6"}) {
    EXPECT_THAT(agent.log(), Not(HasSubstr(secret)));
  }
  EXPECT_THAT(agent.log(), HasSubstr("HTTP 503"));
}

}  // namespace
}  // namespace penstock::e2e
