// Goal: a destination that knows its tables from `columns:` sends protobuf rows, and what lands is
// what JSON rows would have brought. Method: the agent as a program against the local server, which
// checks descriptor and rows; the same datagrams go by both encodings.
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/http_admin.h"
#include "tests/support/local_server.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{60000};
constexpr size_t kEnough = 50;

constexpr const char* kTables = R"yaml(tables:
  - pattern: main.demo.by_*
    columns:
      - {name: n, type: BIGINT, nullable: false}
      - {name: at, type: TIMESTAMP, nullable: false}
      - {name: price, type: "DECIMAL(10,2)"
}
      - {name: ok, type: BOOLEAN}
      - {name: value, type: DOUBLE}
      - {name: note, type: STRING}
      - {name: raw, type: BINARY}
      - {name: doc, type: VARIANT}
      - {name: added_later, type: STRING}
      - {name: _origin, type: STRING, nullable: false}
      - {name: _seq, type: BIGINT, nullable: false}
)yaml";

// Two of them make a configuration: the inputs differ in port and destination.
std::string route(const std::string& name) {
  return "  - name: " + name + "\n    match: {input: " + name + "}\n    table: main.demo.by_" +
         name + "\n    destination: " + name + R"yaml(
    columns:
      n: {from: "${payload.n}", as: bigint, nullable: false}
      at: {from: "${payload.t}", as: timestamp, unit: ms, nullable: false}
      price: {from: "${payload.p}", as: "decimal(10,2)"}
      ok: {from: "${payload.ok}", as: boolean, default: false}
      value: {from: "${payload.v}", as: double, on_error: "null"}
      note: "${source}: ${payload.s}"
      raw: {from: "${payload.s}x", as: "binary(hex)", on_error: "null"}
      doc: {from: "${payload}", as: variant}
      _origin: {from: "${meta.origin}", nullable: false}
      _seq: {from: "${meta.seq}", nullable: false}
)yaml";
}

std::string payload(uint64_t n) {
  const auto text = std::to_string(n);
  switch (n % 4) {
    case 0:
      return "{\"n\":" + text + ",\"t\":" + text +
             ",\"p\":\"0012.50\",\"v\":1e-3,\"s\":\"\\u00e4\"}";
    case 1:
      return "{\"n\":\"" + text + "\",\"t\":-1,\"p\":-7,\"v\":\"no number\",\"ok\":true}";
    case 2:
      return "{\"n\":" + text + ",\"t\":0,\"v\":null,\"s\":\"\",\"x\":[1,{\"y\":2}]}";
    default:
      return "{\"n\":" + text + ",\"p\":1}";  // without a time: refused by the agent itself
  }
}

class Proto : public testing::Test {
 protected:
  Proto()
      : ports_{test::free_udp_port(), test::free_udp_port()},
        server_(test::build_dir() + "/bin/penstock-zerobus-local", file("tables.yaml", kTables),
                dir_.path()),
        agent_({test::build_dir() + "/agent/penstock",
                file("penstock.yaml", configuration("proto")),
                test::build_dir() + "/plugins",
                dir_.path() / "agent.log",
                {}}) {}

  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "--- the agent's log\n%s---\n", agent_.log().c_str());
  }
  std::filesystem::path file(const std::string& name, const std::string& text) const {
    std::ofstream(dir_.path() / name) << text;
    return dir_.path() / name;
  }
  // The encoding of the destination called proto; the other one's is json.
  std::string configuration(const std::string& unsure) const {
    const auto destination = [&](const std::string& name, const std::string& encoding) {
      return "  " + name + ": {endpoint: \"" + server_.endpoint() +
             "\", auth: {token: t}, schema: columns, encoding: " + encoding +
             ", batch: {max_delay: 20ms}, backoff: {min: 100ms, max: 1s}}\n";
    };
    const auto input = [&](const std::string& name, uint16_t port) {
      return "  " + name + ": {plugin: udp, topic: x, listen: \"127.0.0.1:" + std::to_string(port) +
             "\"}\n";
    };
    return "version: 1\nagent: {id: gw}\nspool: {dir: \"" + (dir_.path() / "spool").string() +
           "\", max_size: 64MiB, min_free: 1MiB}\ncontrol: {socket: \"" +
           (dir_.path() / "control.sock").string() + "\"}\ndestinations:\n" +
           destination("proto", unsure) + destination("json", "json") + "inputs:\n" +
           input("proto", ports_[0]) + input("json", ports_[1]) + "routes:\n" + route("proto") +
           route("json");
  }
  size_t landed(const std::string& table) {
    return server_.lakehouse().ids("main.demo." + table).size();
  }

  test::TempDir dir_{"proto"};
  uint16_t ports_[2];
  test::LocalServer server_;
  test::AgentProcess agent_;
};

TEST_F(Proto, RowsLandAsJsonRowsDo) {
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent[2];
  test::UdpFeeder proto(ports_[0], {"", 200, payload, &sent[0]});
  test::UdpFeeder json(ports_[1], {"", 200, payload, &sent[1]});
  proto.start();
  json.start();
  EXPECT_TRUE(test::wait_until(
      [&] { return landed("by_proto") >= kEnough && landed("by_json") >= kEnough; }, kGenerous));
  const auto state = test::http_get(server_.admin_port(), "/state").body;
  EXPECT_NE(state.find("\"PROTO\""), std::string::npos) << state;
  EXPECT_NE(state.find("\"JSON\""), std::string::npos) << state;
  proto.stop();
  json.stop();
  EXPECT_EQ(agent_.stop(), 0);

  const auto lakehouse = server_.lakehouse();
  const auto rows = [](const std::string& table) {
    return "SELECT n, at, price, ok, value, substr(note, instr(note, ':')), raw, doc, "
           "added_later "
           "FROM \"main.demo.by_" +
           table + "\" WHERE n < 48";
  };
  EXPECT_EQ(lakehouse.value("SELECT count(*) FROM (" + rows("proto") + ")"), "35")
      << "three of four records fit the table, and numbers start at 1";
  EXPECT_EQ(
      lakehouse.value("SELECT count(*) FROM (" + rows("proto") + " EXCEPT " + rows("json") + ")"),
      "0");
  EXPECT_EQ(
      lakehouse.value("SELECT count(*) FROM (" + rows("json") + " EXCEPT " + rows("proto") + ")"),
      "0");
  EXPECT_EQ(lakehouse.value("SELECT n || ' ' || at || ' ' || price || ' ' || ok || ' ' || value "
                            "|| ' ' || note FROM \"main.demo.by_proto\" WHERE n = 4"),
            "4 4000 12.5 0 0.001 proto: \xC3\xA4");
}

// The table has NOT NULL columns, and nobody wrote that down.
TEST_F(Proto, AutoDoesNotStumbleOverWhatIsNotNullInTheTable) {
  std::string text = configuration("auto");
  const std::string said = ", nullable: false";
  for (auto at = text.find(said); at != text.npos; at = text.find(said))
    text.erase(at, said.size());
  file("penstock.yaml", text);
  server_.start();
  agent_.start();
  ASSERT_TRUE(agent_.wait_ready());
  test::SentLog sent;
  test::UdpFeeder feeder(ports_[0], {"", 200, [](uint64_t n) { return payload(4 * n); }, &sent});
  feeder.start();
  EXPECT_TRUE(test::wait_until([&] { return landed("by_proto") >= kEnough; }, kGenerous));
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);
}

}  // namespace
}  // namespace penstock::e2e
