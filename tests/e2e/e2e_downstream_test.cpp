// Goal: what happens to rows after they have landed. Repeated ones are told apart by the statements
// of README.md, a missing one is found by the query of `penstock audit`, and a refused one lands
// under its old name once the mapping is right. Method: the agent as a program against the local
// server; the statements, taken from README.md, run on the server's lakehouse.db.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/http_admin.h"
#include "tests/support/local_server.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

using test::Millis;

constexpr Millis kGenerous{60000};
constexpr const char* kTable = "main.iot.machine";
const std::string kPenstock = test::build_dir() + "/agent/penstock";

constexpr const char* kTables = R"yaml(tables:
  - name: main.iot.machine
    columns:
      - {name: value, type: STRING}
      - {name: _origin, type: STRING}
      - {name: _seq, type: BIGINT}
      - {name: _sub, type: BIGINT}
      - {name: _ingested_at, type: TIMESTAMP}
)yaml";

// The block of README.md fenced as sql that begins with `begin`.
std::string readme_sql(const std::string& begin) {
  std::ifstream in(test::source_dir() + "/README.md");
  std::stringstream all;
  all << in.rdbuf();
  const std::string text = all.str();
  const auto at = text.find("```sql\n" + begin);
  if (at == std::string::npos) return "";
  const auto first = at + 7;
  return text.substr(first, text.find("```", first) - first);
}

// SQLite's name for a table of three parts is one quoted word. Nothing else of a query differs.
std::string for_sqlite(const std::string& sql) {
  return std::regex_replace(sql, std::regex(R"(\bmain\.iot\.\w+)"), "\"$&\"");
}

// SQLite has no MERGE: the same source, condition, columns and values as INSERT ... WHERE NOT
// EXISTS, which is what WHEN NOT MATCHED THEN INSERT means.
std::string merge_for_sqlite(const std::string& sql) {
  const std::regex shape(
      R"(MERGE INTO (\S+) AS (\w+)\s+USING \(([\s\S]+)\) AS (\w+)\s+ON ([\s\S]+?)\s+)"
      R"(WHEN NOT MATCHED THEN INSERT \(([^)]+)\)\s+VALUES \(([^)]+)\)\s*)");
  std::smatch part;
  if (!std::regex_match(sql, part, shape)) return "";
  return for_sqlite("INSERT INTO " + part.str(1) + " (" + part.str(6) + ") SELECT " + part.str(7) +
                    " FROM (" + part.str(3) + ") AS " + part.str(4) +
                    " WHERE NOT EXISTS (SELECT 1 " + "FROM " + part.str(1) + " AS " + part.str(2) +
                    " WHERE " + part.str(5) + ")");
}

// Runs `sql`; its rows, columns joined by '|'.
std::vector<std::string> run_sql(const std::filesystem::path& file, const std::string& sql) {
  std::vector<std::string> rows;
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  sqlite3_busy_timeout(db, 10'000);
  const auto take = [](void* out, int count, char** values, char**) {
    std::string row;
    for (int i = 0; i < count; ++i)
      row += (i > 0 ? "|" : "") + std::string(values[i] != nullptr ? values[i] : "");
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), take, &rows, &error), SQLITE_OK)
      << sql << ": " << (error ? error : "");
  sqlite3_free(error);
  sqlite3_close(db);
  return rows;
}

class Downstream : public testing::Test {
 protected:
  Downstream()
      : ports_{test::free_udp_port(), test::free_udp_port()},
        server_(test::build_dir() + "/bin/penstock-zerobus-local", file("tables.yaml", kTables),
                dir_.path()),
        agent_({kPenstock,
                dir_.path() / "penstock.yaml",
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
  // Two inputs, two routes, one table.
  void configure(const std::string& cast) {
    std::string inputs = "inputs:\n";
    std::string routes = "routes:\n";
    for (int i = 0; i < 2; ++i) {
      const std::string name = i == 0 ? "left" : "right";
      inputs += "  " + name +
                ": {plugin: udp, topic: x, listen: \"127.0.0.1:" + std::to_string(ports_[i]) +
                "\"}\n";
      routes +=
          "  - name: " + name + "\n    match: {input: " + name +
          "}\n    table: main.iot.machine\n    columns:\n      value: {from: \"${payload.v}\"" +
          cast +
          "}\n      _origin: \"${meta.origin}\"\n      _seq: \"${meta.seq}\"\n"
          "      _sub: \"${meta.sub}\"\n      _ingested_at: \"${meta.received_at}\"\n";
    }
    file("penstock.yaml", "version: 1\nagent: {id: gw}\nspool: {dir: \"" + spool() +
                              "\", max_size: 64MiB, min_free: 1MiB}\ncontrol: {socket: \"" +
                              (dir_.path() / "control.sock").string() +
                              "\"}\ndestinations:\n  d: {endpoint: \"" + server_.endpoint() +
                              "\", auth: {token: secret}, schema: none, batch: {max_delay: 20ms}, "
                              "backoff: {min: 50ms, max: 500ms}}\n" +
                              inputs + routes);
  }
  std::string spool() const { return (dir_.path() / "spool").string(); }
  std::filesystem::path lakehouse() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      if (entry.path().filename() == "lakehouse.db") return entry.path();
    }
    return {};
  }
  std::string value(const std::string& sql) { return server_.lakehouse().value(for_sqlite(sql)); }
  uint64_t number(const std::string& sql) {
    const auto text = value(sql);
    return text.empty() ? 0 : std::stoull(text);
  }
  void start() {
    agent_.start();
    ASSERT_TRUE(agent_.wait_ready());
  }
  std::string penstock(std::vector<std::string> arguments, int code = 0) {
    arguments.insert(arguments.begin(), kPenstock);
    test::Process process({arguments, {}, dir_.path() / "tool.log"});
    EXPECT_EQ(process.wait(kGenerous), std::optional(code)) << process.output();
    return process.output();
  }
  // What the audit of the table reports on `database`.
  std::vector<std::string> audit(const std::filesystem::path& database) {
    const auto sql =
        penstock({"audit", "--sql", "--config", (dir_.path() / "penstock.yaml").string(), kTable});
    return run_sql(database, for_sqlite(std::regex_replace(sql, std::regex("--[^\n]*"), "")));
  }

  test::TempDir dir_{"down"};
  uint16_t ports_[2];
  test::LocalServer server_;
  test::AgentProcess agent_;
};

constexpr const char* kRows = "SELECT count(*) FROM main.iot.machine";
constexpr const char* kRecords =
    "SELECT count(*) FROM (SELECT DISTINCT _origin, _seq, _sub FROM main.iot.machine)";

TEST_F(Downstream, StatementsOfTheReadmeLeaveEachRecordOnceAndTheAuditFindsAHole) {
  configure("");
  server_.start();
  start();
  test::SentLog sent[2];
  const auto payload = [](uint64_t n) { return "{\"v\":\"" + std::to_string(n) + "\"}"; };
  test::UdpFeeder left(ports_[0], {"", 300, payload, &sent[0]});
  test::UdpFeeder right(ports_[1], {"", 300, payload, &sent[1]});
  left.start();
  right.start();
  ASSERT_TRUE(test::wait_until([&] { return number(kRecords) >= 100; }, kGenerous));
  // A stream that ends without its acknowledgements makes the agent send again what has landed.
  for (int i = 0; i < 2; ++i) {
    test::http_post(server_.admin_port(), "/faults/drop?status=UNAVAILABLE&after=10");
    const auto before = number(kRecords);
    ASSERT_TRUE(test::wait_until([&] { return number(kRecords) >= before + 100; }, kGenerous));
  }
  ASSERT_TRUE(test::wait_until([&] { return number(kRows) > number(kRecords); }, kGenerous))
      << "there are no repeated rows";
  left.stop();
  right.stop();
  EXPECT_EQ(agent_.stop(), 0);
  server_.stop();
  ASSERT_GT(number(kRows), number(kRecords));
  ASSERT_EQ(value("SELECT count(DISTINCT _origin) FROM main.iot.machine"), "2");

  const auto database = dir_.path() / "downstream.db";
  std::filesystem::copy_file(lakehouse(), database);
  // Rows that have no name, as somebody else may write them.
  run_sql(database, R"(INSERT INTO "main.iot.machine" (value) VALUES ('a'), ('b'))");
  run_sql(database, "INSERT INTO \"main.iot.machine\" (_origin, _seq) VALUES ('x/y/1', 1)");
  const auto once = run_sql(database, for_sqlite(readme_sql("SELECT _origin, _seq")));
  EXPECT_EQ(once.size(), number(kRecords));
  EXPECT_EQ(std::set<std::string>(once.begin(), once.end()).size(), once.size());

  const auto create = for_sqlite(readme_sql("CREATE TABLE"));
  ASSERT_FALSE(create.empty());
  for (int time = 0; time < 2; ++time) run_sql(database, create);
  const auto merge = merge_for_sqlite(readme_sql("MERGE INTO"));
  ASSERT_FALSE(merge.empty()) << "README.md has another form than this test knows";
  for (int time = 0; time < 2; ++time) {
    run_sql(database, merge);
    EXPECT_EQ(
        run_sql(database, "SELECT * FROM \"main.iot.machine_once\" ORDER BY _origin, _seq, _sub"),
        run_sql(database,
                for_sqlite(readme_sql("SELECT _origin, _seq")) + " ORDER BY _origin, _seq, _sub"));
  }
  run_sql(database, "DELETE FROM \"main.iot.machine\" WHERE _sub IS NULL");

  EXPECT_EQ(audit(database), std::vector<std::string>{});
  const auto origin = value("SELECT min(_origin) FROM main.iot.machine");
  const auto erase = "DELETE FROM \"main.iot.machine\" WHERE _origin = '" + origin + "' AND ";
  run_sql(database, erase + "_seq IN (7, 8, 30)");
  EXPECT_EQ(audit(database), (std::vector<std::string>{origin + "|7|8|2", origin + "|30|30|1"}));
  run_sql(database, erase + "_seq <= 7");
  const auto holes = audit(database);
  ASSERT_FALSE(holes.empty());
  EXPECT_EQ(holes.front(), origin + "|1|8|8") << "the beginning is missing";
  const auto last =
      value("SELECT max(_seq) FROM main.iot.machine WHERE _origin = '" + origin + "'");
  run_sql(database, erase + "_seq = " + last);
  const auto found = audit(database);
  ASSERT_FALSE(found.empty());
  ASSERT_GT(std::stoull(last), 30u);
  EXPECT_EQ(found.back(), origin + "|" + last + "|" + last + "|1") << "the end is missing";
}

// origin|seq of everything `penstock quarantine ls --json` lists.
std::set<std::string> names_in(const std::string& listing) {
  std::set<std::string> names;
  const std::regex shape(R"re("origin":"([^"]+)","origin_seq":(\d+))re");
  for (std::sregex_iterator it(listing.begin(), listing.end(), shape), end; it != end; ++it)
    names.insert(it->str(1) + "|" + it->str(2));
  return names;
}

TEST_F(Downstream, ARecordThatWasRefusedLandsUnderItsNameAfterTheFixAndAReplay) {
  configure(", as: \"decimal(10,2)\"");
  server_.start();
  start();
  test::SentLog sent;
  const auto payload = [](uint64_t n) {
    return n % 10 == 3 ? "{\"v\":\"no number " + std::to_string(n) + "\"}"
                       : "{\"v\":" + std::to_string(n) + "}";
  };
  test::UdpFeeder feeder(ports_[0], {"", 100, payload, &sent});
  feeder.start();
  ASSERT_TRUE(agent_.wait_for_log("goes to quarantine", kGenerous));
  ASSERT_TRUE(test::wait_until([&] { return number(kRecords) >= 40; }, kGenerous));
  feeder.stop();
  EXPECT_NE(penstock({"quarantine", "replay", "--all", spool()}, 2).find("in use"),
            std::string::npos);
  EXPECT_EQ(agent_.stop(), 0);

  const auto names = names_in(penstock({"quarantine", "ls", "--json", spool()}));
  ASSERT_GE(names.size(), 3u);
  EXPECT_NE(agent_.log().find("quarantined from lane/1 main.iot.machine " +
                              std::to_string(names.size()) + " "),
            std::string::npos)
      << "each is counted in the log, not only the first";
  EXPECT_TRUE(audit(lakehouse()).empty()) << "what is in the quarantine is known";
  const auto typo = penstock({"audit", "--sql", "--spool", spool(), "main.iot.machines"}, 1);
  EXPECT_NE(typo.find("no record for main.iot.machines, so the query proves nothing (it has: "
                      "main.iot.machine)"),
            std::string::npos)
      << typo;
  configure(", as: string");
  penstock({"quarantine", "replay", "--all", spool()});
  EXPECT_TRUE(audit(lakehouse()).empty()) << "what waits to be sent again is known";
  const auto again = penstock({"quarantine", "replay", "--all", spool()}, 1);
  EXPECT_NE(again.find("no such records"), std::string::npos) << again;

  start();
  const std::string words = " FROM main.iot.machine WHERE value LIKE 'no number%'";
  EXPECT_TRUE(test::wait_until(
      [&] { return number("SELECT count(DISTINCT _seq)" + words) >= names.size(); }, kGenerous));
  EXPECT_EQ(agent_.stop(), 0);
  const auto landed =
      run_sql(lakehouse(), for_sqlite("SELECT DISTINCT _origin || '|' || _seq" + words));
  EXPECT_EQ(std::set<std::string>(landed.begin(), landed.end()), names);
  const auto stat = penstock({"spool", "stat", spool()});
  EXPECT_NE(stat.find("drained: nothing waits"), std::string::npos) << stat;
  EXPECT_NE(stat.find(" + replayed " + std::to_string(names.size()) + " + pending 0"),
            std::string::npos)
      << stat;
  EXPECT_EQ(audit(lakehouse()), std::vector<std::string>{});
}

// What was refused while records before it were not acknowledged lies ahead of the lane's cursor,
// in a segment that is read again.
TEST_F(Downstream, ARefusedRecordIsNotSentAsWellWhenTheFixComesBeforeItsTurn) {
  configure(", as: \"decimal(10,2)\"");
  server_.start();
  test::http_post(server_.admin_port(), "/faults/no-acks");
  start();
  test::SentLog sent;
  const auto payload = [](uint64_t n) {
    return n % 10 == 3 ? "{\"v\":\"no number " + std::to_string(n) + "\"}"
                       : "{\"v\":" + std::to_string(n) + "}";
  };
  test::UdpFeeder feeder(ports_[0], {"", 100, payload, &sent});
  feeder.start();
  ASSERT_TRUE(test::wait_until([&] { return number(kRecords) >= 40; }, kGenerous));
  feeder.stop();
  EXPECT_EQ(agent_.stop(), 0);
  const auto names = names_in(penstock({"quarantine", "ls", "--json", spool()}));
  ASSERT_GE(names.size(), 3u);

  test::http_post(server_.admin_port(), "/faults/clear");
  configure(", as: string");
  start();
  const auto later = [](uint64_t) { return R"({"v":"later"})"; };
  test::UdpFeeder again(ports_[0], {"", 100, later, &sent});
  again.start();
  const std::string late = kRows + std::string(" WHERE value = 'later'");
  ASSERT_TRUE(test::wait_until([&] { return number(late) > 0; }, kGenerous));
  again.stop();
  EXPECT_EQ(agent_.stop(), 0);
  const std::string words = " FROM main.iot.machine WHERE value LIKE 'no number%'";
  EXPECT_EQ(value("SELECT count(*)" + words), "0") << "they are in the quarantine";
  EXPECT_EQ(names_in(penstock({"quarantine", "ls", "--json", spool()})), names);

  penstock({"quarantine", "replay", "--all", spool()});
  start();
  EXPECT_TRUE(test::wait_until(
      [&] { return number("SELECT count(DISTINCT _seq)" + words) >= names.size(); }, kGenerous));
  EXPECT_EQ(agent_.stop(), 0);
  EXPECT_EQ(audit(lakehouse()), std::vector<std::string>{});
}

}  // namespace
}  // namespace penstock::e2e
