// Goal: expired tokens, rotated streams and a table that gets a column are ordinary: nothing is
// lost or set aside, and the column is filled from its first value on, without a person. Method:
// the agent as a program between a broker, whose messages it must not lose, and the local server
// with an identity service of its own.
#include <atomic>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_mqtt.h"
#include "tests/support/http_admin.h"
#include "tests/support/lakehouse.h"
#include "tests/support/mosquitto.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/verdict.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{90'000};
constexpr const char* kTable = "main.demo.machine";

constexpr const char* kTables = R"yaml(tables:
  - name: main.demo.machine
    columns:
      - {name: n, type: BIGINT, nullable: false}
      - {name: _origin, type: STRING, nullable: false}
      - {name: _seq, type: BIGINT, nullable: false}
)yaml";

std::string payload(uint64_t n) { return "{\"n\":" + std::to_string(n) + "}"; }

std::string payload_with_later(uint64_t n) {
  return "{\"n\":" + std::to_string(n) + ",\"later\":\"l" + std::to_string(n) + "\"}";
}

class Rotation : public testing::Test {
 protected:
  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", agent_.log().c_str());
  }
  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.path() / name) << text;
    return dir_.path() / name;
  }
  std::vector<std::string> server_command() const {
    const auto at = [](uint16_t port) { return "127.0.0.1:" + std::to_string(port); };
    return {test::build_dir() + "/bin/penstock-zerobus-local",
            "--tables",
            file("tables.yaml", kTables).string(),
            "--data",
            (dir_.path() / "data").string(),
            "--listen",
            at(service_port_),
            "--admin",
            at(admin_port_),
            "--client",
            "app:s3cret",
            "--token-ms",
            "3000",
            "--rotate-ms",
            "700",
            "--rotate-grace-ms",
            "5000"};
  }
  std::string configuration() const {
    return "version: 1\nagent: {id: gw}\nspool: {dir: \"" + (dir_.path() / "spool").string() +
           "\", max_size: 64MiB, min_free: 1MiB}\ncontrol: {socket: \"" +
           (dir_.path() / "control.sock").string() +
           "\"}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:" +
           std::to_string(service_port_) +
           "\", workspace_url: \"http://127.0.0.1:" + std::to_string(admin_port_) +
           "\", auth: {client_id: app, client_secret: s3cret}, schema: unity_catalog, "
           "batch: {max_delay: 20ms}, backoff: {min: 50ms, max: 500ms, held: 1s}}\ninputs:\n"
           "  m: {plugin: mqtt, server: \"" +
           broker_.url() +
           "\", subscribe: [{filter: \"plant/#\", qos: 1}]}\nroutes:\n"
           "  - {name: m, match: {input: m}, table: " +
           kTable + "}\n";
  }
  test::Lakehouse lakehouse() const {
    return test::Lakehouse(dir_.path() / "data" / "lakehouse.db");
  }
  int64_t count(const std::string& what) const {
    const auto text = lakehouse().value("SELECT " + what + " FROM \"" + kTable + "\"");
    return text.empty() ? 0 : std::stoll(text);
  }
  int64_t streams() const { return count("count(DISTINCT _stream_id)"); }
  void order(const std::string& path) const {
    const auto reply = test::http_post(admin_port_, path);
    ASSERT_EQ(reply.status, 200) << path << ": " << reply.body;
  }

  // Everything is up, and nothing sent yet.
  void begin(test::Process& server) {
    ASSERT_TRUE(server.wait_for_line("ready grpc=", kGenerous)) << server.output();
    broker_.start();
    agent_.start();
    ASSERT_TRUE(agent_.wait_ready());
    ASSERT_TRUE(agent_.wait_for_log("mqtt/m: up", kGenerous));
  }

  test::TempDir dir_{"rotation"};
  const uint16_t service_port_ = test::free_tcp_port();
  const uint16_t admin_port_ = test::free_tcp_port();
  test::Mosquitto broker_{dir_.path()};
  test::AgentProcess agent_{{test::build_dir() + "/agent/penstock",
                             file("penstock.yaml", configuration()),
                             test::build_dir() + "/plugins",
                             dir_.path() / "agent.log",
                             {}}};
};

TEST_F(Rotation, ExpiredTokensRotatedStreamsAndANewColumnLoseNothing) {
  test::Process server({server_command(), {}, dir_.path() / "server.log"});
  ASSERT_NO_FATAL_FAILURE(begin(server));
  test::SentLog sent;
  std::atomic<bool> altered{false};
  const auto mixed = [&](uint64_t n) {
    return altered && n % 3 == 0 ? payload_with_later(n) : payload(n);
  };
  test::MqttFeeder feeder(broker_.port(), "feeder", {{"plant/a", 200, mixed, &sent}});
  feeder.start();

  ASSERT_TRUE(test::wait_until([&] { return streams() >= 3; }, kGenerous)) << "no rotation";
  // A token of three seconds has ended since, and all are revoked at once under open streams.
  order("/faults/expire-tokens?streams=true");
  const int64_t before = streams();
  ASSERT_TRUE(test::wait_until([&] { return streams() >= before + 5; }, kGenerous));

  order(std::string("/tables/alter?table=") + kTable + "&add=later&type=STRING");
  altered = true;
  EXPECT_TRUE(test::wait_until(
      [&] {
        return !lakehouse()
                    .value(std::string("SELECT 1 FROM pragma_table_info('") + kTable +
                           "') WHERE name = 'later'")
                    .empty() &&
               count("count(later)") >= 100;
      },
      kGenerous))
      << "the column is not picked up";

  EXPECT_TRUE(feeder.stop());
  const auto all = sent.snapshot();
  const auto verdict = [&] {
    return test::judge(kTable, "mqtt", all, lakehouse().ids(kTable), {});
  };
  EXPECT_TRUE(test::wait_until([&] { return verdict().missing == 0; }, kGenerous))
      << verdict().missing << " of " << all.size() << " are missing";
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_EQ(lakehouse().ids(kTable).size(), all.size()) << "rows that nobody sent";
  EXPECT_EQ(count("count(*)"), count("count(DISTINCT _origin || '/' || _seq)") +
                                   static_cast<int64_t>(verdict().duplicates))
      << "a repeat that its identity does not show";
  EXPECT_EQ(count("sum(later IS NOT NULL AND later <> 'l' || n)"), 0) << "a wrong value";
  EXPECT_THAT(agent_.log(), testing::Not(testing::HasSubstr("quarantine")));
}

// What is known of the table is enough to go on, though each rotation would ask for it again.
TEST_F(Rotation, AWorkspaceThatHangsDoesNotStopDelivery) {
  test::Process server({server_command(), {}, dir_.path() / "server.log"});
  ASSERT_NO_FATAL_FAILURE(begin(server));
  test::SentLog sent;
  test::MqttFeeder feeder(broker_.port(), "feeder", {{"plant/a", 200, payload, &sent}});
  feeder.start();
  ASSERT_TRUE(test::wait_until([&] { return streams() >= 1; }, kGenerous));
  order("/faults/workspace?answer=hang&call=table");
  EXPECT_TRUE(agent_.wait_for_log("going on with the schema known last", kGenerous));
  const int64_t before = streams();
  EXPECT_TRUE(test::wait_until([&] { return streams() > before; }, kGenerous))
      << "no stream without the workspace";
  order("/faults/clear");
  EXPECT_TRUE(feeder.stop());
  EXPECT_EQ(agent_.stop(), 0);
}

}  // namespace
}  // namespace penstock::e2e
