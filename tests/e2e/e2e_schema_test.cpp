// Goal: with `schema: unity_catalog` rows fill the table's columns by name, as protobuf, and an
// agent that starts while the workspace cannot be reached knows the table from the last time.
// Method: the agent as a program, the local server for the rows, a workspace inside the test.
#include <atomic>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/http_admin.h"
#include "tests/support/https_server.h"
#include "tests/support/local_server.h"
#include "tests/support/mqtt_certificates.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{60000};
constexpr const char* kTable = "main.demo.machine";

constexpr const char* kTables = R"yaml(tables:
  - name: main.demo.machine
    columns:
      - {name: n, type: BIGINT, nullable: false}
      - {name: tags, type: ARRAY<STRING>}
      - {name: at, type: "STRUCT<lat:DOUBLE,lon:DOUBLE>"}
      - {name: _origin, type: STRING, nullable: false}
      - {name: _seq, type: BIGINT, nullable: false}
)yaml";

constexpr const char* kDescribed = R"({"full_name":"main.demo.machine","table_type":"MANAGED",
  "data_source_format":"DELTA","columns":[
  {"name":"n","type_text":"bigint","type_name":"LONG","position":0,"nullable":false},
  {"name":"tags","type_text":"array<string>","type_name":"ARRAY","position":1,"nullable":true},
  {"name":"at","type_text":"struct<lat:double,lon:double>","type_name":"STRUCT","position":2},
  {"name":"_origin","type_text":"string","type_name":"STRING","position":3,"nullable":false},
  {"name":"_seq","type_text":"bigint","type_name":"LONG","position":5,"nullable":false}]})";

std::string payload(uint64_t n) {
  return "{\"n\":" + std::to_string(n) + R"(,"tags":["a","b"],"at":{"lat":52.5,"lon":null}})";
}

class Schema : public testing::Test {
 protected:
  // `with_tls`: both servers speak TLS, and the agent trusts their authority alone.
  explicit Schema(bool with_tls = false)
      : authority_(with_tls ? std::optional(test::make_authority(dir_.path(), "own", "127.0.0.1"))
                            : std::nullopt),
        workspace_([this](const test::WebRequest& request) { return answer(request); },
                   authority_ ? &*authority_ : nullptr),
        udp_port_(test::free_udp_port()),
        server_(test::build_dir() + "/bin/penstock-zerobus-local", file("tables.yaml", kTables),
                dir_.path(), server_options()),
        agent_({test::build_dir() + "/agent/penstock",
                file("penstock.yaml", configuration()),
                test::build_dir() + "/plugins",
                dir_.path() / "agent.log",
                {}}) {}

  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", agent_.log().c_str());
  }
  test::WebAnswer answer(const test::WebRequest& request) {
    const bool for_token = request.target == "/oidc/v1/token";
    ++(for_token ? tokens_ : descriptions_);
    if (for_token) {
      return {200, R"({"access_token":"t0ken","expires_in":3600})", {}};
    }
    if (schema_down_) return {503, "", {}};
    const bool good = request.target == std::string("/api/2.1/unity-catalog/tables/") + kTable &&
                      request.headers.at("authorization") == "Bearer t0ken";
    return good ? test::WebAnswer{200, kDescribed, {}} : test::WebAnswer{404, "", {}};
  }
  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.path() / name) << text;
    return dir_.path() / name;
  }
  std::vector<std::string> server_options() const {
    if (!authority_) return {};
    return {"--tls-cert", authority_->cert.string(), "--tls-key", authority_->key.string()};
  }
  std::string configuration() const {
    const std::string scheme = authority_ ? "https" : "http";
    const std::string trust =
        authority_ ? "tls: {ca: \"" + authority_->ca.string() + "\"}, " : std::string();
    return "version: 1\nagent: {id: gw}\nspool: {dir: \"" + (dir_.path() / "spool").string() +
           "\", max_size: 64MiB, min_free: 1MiB}\ncontrol: {socket: \"" +
           (dir_.path() / "control.sock").string() + "\"}\ndestinations:\n  d: {endpoint: \"" +
           scheme + "://127.0.0.1:" + std::to_string(server_.port()) + "\", workspace_url: \"" +
           scheme + "://127.0.0.1:" + std::to_string(workspace_.port()) + "\", " + trust +
           "auth: {client_id: app, client_secret: \"${file:secret}\"}, schema: unity_catalog, "
           "batch: {max_delay: 20ms}, backoff: {min: 100ms, max: 500ms}}\ninputs:\n"
           "  u: {plugin: udp, topic: x, listen: \"127.0.0.1:" +
           std::to_string(udp_port_) +
           "\"}\nroutes:\n  - {name: m, match: {input: u}, table: " + kTable + "}\n";
  }
  size_t landed() { return server_.lakehouse().ids(kTable).size(); }
  bool wait_for(size_t rows) {
    return test::wait_until([&] { return landed() >= rows; }, kGenerous);
  }

  test::TempDir dir_{"schema"};
  const std::optional<test::TestAuthority> authority_;
  std::atomic<bool> schema_down_{false};
  std::atomic<int> tokens_{0};
  std::atomic<int> descriptions_{0};
  test::HttpsServer workspace_;
  uint16_t udp_port_;
  test::LocalServer server_;
  test::AgentProcess agent_;
};

TEST_F(Schema, ATableIsKnownFromTheWorkspaceAndRememberedWithoutIt) {
  file("secret", "s3cret\n");
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent;
  test::UdpFeeder feeder(udp_port_, {"", 100, payload, &sent});
  feeder.start();
  ASSERT_TRUE(wait_for(20));
  const auto state = test::http_get(server_.admin_port(), "/state").body;
  EXPECT_NE(state.find("\"PROTO\""), std::string::npos) << state;
  EXPECT_EQ(server_.lakehouse().value(std::string("SELECT tags || ' ' || at FROM \"") + kTable +
                                      "\" WHERE n = 3 AND _seq > 0 AND _origin LIKE 'gw/%'"),
            R"(["a","b"] {"lat":52.5})");
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);

  // Tokens for streams come from the workspace too, so only the catalog is out of reach.
  const size_t before = landed();
  schema_down_ = true;
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::UdpFeeder again(udp_port_,
                        {"", 100, [](uint64_t n) { return payload(n + 1'000'000); }, &sent});
  again.start();
  EXPECT_TRUE(wait_for(before + 20));
  EXPECT_TRUE(agent_.wait_for_log("going on with the schema known last", kGenerous));
  again.stop();
  EXPECT_EQ(agent_.stop(), 0);
}

class SchemaOverTls : public Schema {
 protected:
  SchemaOverTls() : Schema(true) {}
};

// As with a workspace: token, catalog and rows.
TEST_F(SchemaOverTls, TheWholePathGoesOverTls) {
  file("secret", "dose-s3cret\n");
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent;
  test::UdpFeeder feeder(udp_port_, {"", 100, payload, &sent});
  feeder.start();
  EXPECT_TRUE(wait_for(20));
  const auto state = test::http_get(server_.admin_port(), "/state").body;
  EXPECT_NE(state.find("\"PROTO\""), std::string::npos) << state;
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_GE(tokens_, 1);
  EXPECT_GE(descriptions_, 1);
}

// A certificate of somebody else for the same address: the secret does not leave the agent.
TEST_F(SchemaOverTls, AWorkspaceOfAnotherAuthorityIsAskedNothing) {
  file("secret", "dose-s3cret\n");
  const auto other = test::make_authority(dir_.path(), "other", "127.0.0.1");
  std::filesystem::rename(other.ca, authority_->ca);
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent;
  test::UdpFeeder feeder(udp_port_, {"", 100, payload, &sent});
  feeder.start();
  EXPECT_TRUE(agent_.wait_for_log("certificate", kGenerous));
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_EQ(tokens_ + descriptions_, 0);
  EXPECT_EQ(landed(), 0u);
}

// The route fills less than the table has, so its rows have a descriptor of their own.
TEST_F(Schema, TheCommandShowsTheSchemaThatARefusedRecordNames) {
  file("secret", "s3cret\n");
  auto narrowed = configuration();
  narrowed.insert(narrowed.rfind('}'), ", columns: {n: \"${payload.n}\"}");
  file("penstock.yaml", narrowed);
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent;
  test::UdpFeeder feeder(udp_port_,
                         {"", 100, [](uint64_t) { return R"({"n":"no number"})"; }, &sent});
  feeder.start();
  ASSERT_TRUE(agent_.wait_for_log("no number", kGenerous));
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);
  const auto penstock = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), test::build_dir() + "/agent/penstock");
    test::Process process({arguments, {}, dir_.path() / (arguments[1] + ".log")});
    EXPECT_EQ(process.wait(std::chrono::seconds(60)).value_or(-1), 0) << process.output();
    return process.output();
  };
  const auto after = [](const std::string& text, const std::string& label) {
    const auto at = text.find(label);
    return at == text.npos ? "no " + label + " in " + text : text.substr(at + label.size(), 9);
  };
  const auto config = (dir_.path() / "penstock.yaml").string();
  EXPECT_EQ(
      after(penstock({"schema", "show", kTable, "--config", config}), "\nschema: "),
      after(penstock({"quarantine", "show", (dir_.path() / "spool").string(), "--limit", "1"}),
            "\n    schema       "));
}

TEST_F(Schema, TheCommandFetchesATableAndShowsItAfterwardsWithoutTheWorkspace) {
  file("secret", "s3cret\n");
  const auto penstock = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {test::build_dir() + "/agent/penstock", "schema"});
    arguments.insert(arguments.end(), {"--config", (dir_.path() / "penstock.yaml").string()});
    test::Process process({arguments, {}, dir_.path() / "out.log"});
    const int code = process.wait(std::chrono::seconds(60)).value_or(-1);
    return std::to_string(code) + "\n" + process.output();
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << text;
  };
  EXPECT_TRUE(has(penstock({"show", kTable}), "penstock schema fetch main.demo.machine"));
  const auto early = penstock({"fetch", kTable});
  EXPECT_TRUE(early.starts_with("0\n"));
  EXPECT_TRUE(has(early, "note: not kept: there is no spool in ")) << "the agent makes it";
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "spool"));
  std::filesystem::create_directory(dir_.path() / "spool");
  const auto fetched = penstock({"fetch", kTable});
  EXPECT_TRUE(fetched.starts_with("0\n"));
  EXPECT_FALSE(has(fetched, "not kept"));
  EXPECT_TRUE(has(fetched, "required int64"));
  schema_down_ = true;
  EXPECT_TRUE(has(penstock({"fetch", kTable}), "HTTP 503"));
  const auto shown = penstock({"show", kTable});
  EXPECT_TRUE(has(shown, "repeated string"));
  EXPECT_TRUE(has(shown, "descriptor: CgNSb3c"));
  const auto sql = penstock({"sql", kTable, "--principal", "app-1"});
  EXPECT_TRUE(has(sql, "CREATE TABLE IF NOT EXISTS `main`.`demo`.`machine` ("));
  EXPECT_TRUE(has(sql, "GRANT SELECT, MODIFY ON TABLE `main`.`demo`.`machine` TO `app-1`;"));
  EXPECT_TRUE(has(penstock({"sql", "a/b"}), "catalog.schema.table"));
}

}  // namespace
}  // namespace penstock::e2e
