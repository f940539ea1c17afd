// A gateway restarted after a bad edit goes on collecting, with the configuration that worked.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include "tests/support/agent_process.h"
#include "tests/support/feeder_udp.h"
#include "tests/support/paths.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LastGood : public ::testing::Test {
 protected:
  LastGood() { std::filesystem::create_directories(dir_.path() / "state"); }

  // The same with something that only the plugin itself refuses, beside what is good.
  std::string refused_by_plugin() const {
    std::string text = config();
    text.insert(text.rfind('}'), ", w: {plugin: udp, listen: \"127.0.0.1:151420\", topic: v}");
    return text;
  }
  std::string kept() const {
    std::ifstream in(dir_.path() / "state" / "last-good-config");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write_crashes(const std::string& plugin) const {
    std::string boot;
    double since_boot_s = 0;
    std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
    std::ifstream("/proc/uptime") >> since_boot_s;
    std::filesystem::create_directories(dir_.path() / "spool");
    std::ofstream notes(dir_.path() / "spool" / "plugin-crashes");
    for (int i = 0; i < 3; ++i)
      notes << boot << ' ' << static_cast<uint64_t>(since_boot_s * 1000) << ' ' << plugin << '\n';
  }
  void write(const std::string& text) { std::ofstream(dir_.path() / "penstock.yaml") << text; }
  std::string config(const std::string& spool = "spool") const {
    return "version: 1\nagent: {id: gw}\nspool: {dir: " + spool +
           ", max_size: 64MiB, min_free: 1MiB}\ninputs: {u: {plugin: udp, listen: \"127.0.0.1:" +
           std::to_string(port_) + "\", topic: v}}\n";
  }
  test::AgentProcess agent(const std::string& state = "state") {
    return test::AgentProcess({test::build_dir() + "/agent/penstock",
                               dir_.path() / "penstock.yaml",
                               test::build_dir() + "/plugins",
                               dir_.path() / "agent.log",
                               {{"STATE_DIRECTORY", (dir_.path() / state).string()}}});
  }
  void run_once() {
    auto good = agent();
    good.start();
    ASSERT_TRUE(good.wait_ready()) << good.log();
    EXPECT_THAT(good.log(), Not(HasSubstr("ALARM")));
    ASSERT_EQ(good.stop(), 0) << good.log();
  }
  // Does it collect, on the configuration that was there before?
  void collects() {
    const uint64_t before = quarantined();
    auto one = agent();
    one.start();
    ASSERT_TRUE(one.wait_ready()) << one.log();
    EXPECT_THAT(one.log(), HasSubstr("ALARM"));
    test::SentLog sent;
    test::UdpFeeder feeder(port_, {"", 200, [](uint64_t n) { return std::to_string(n); }, &sent});
    feeder.start();
    EXPECT_TRUE(test::wait_until([&] { return sent.size() >= 100; }, std::chrono::seconds(60)));
    feeder.stop();
    EXPECT_EQ(one.stop(), 0) << one.log();
    EXPECT_GT(quarantined(), before) << "no route takes them; they are kept all the same";
  }
  // Only while no agent runs.
  uint64_t quarantined() const {
    sqlite3* db = nullptr;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_open((dir_.path() / "spool" / "1.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_prepare_v2(db, "SELECT count(*) FROM quarantine", -1, &statement, nullptr),
              SQLITE_OK);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const auto count = static_cast<uint64_t>(sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
  }

  const uint16_t port_ = test::free_udp_port();
  test::TempDir dir_{"last_good_e2e"};
};

TEST_F(LastGood, AFileThatIsNoYamlAnyMoreDoesNotStopCollection) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  write("version: 1\nagent: {id: gw\n");
  collects();
  // And again: what it runs on is not taken for the present one.
  collects();
}

TEST_F(LastGood, AFileThatIsGoneDoesNotStopCollection) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  std::filesystem::remove(dir_.path() / "penstock.yaml");
  collects();
}

TEST_F(LastGood, ASpoolThatCannotBeUsedDoesNotStopCollection) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  std::ofstream(dir_.path() / "no-folder") << "a file";
  write(config("no-folder"));
  collects();
}

TEST_F(LastGood, ASpoolThatIsStillInUseIsNoReasonToFallBack) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  auto before = agent();
  before.start();
  ASSERT_TRUE(before.wait_ready()) << before.log();
  write(config() + "# a good edit\n");
  auto one = test::AgentProcess({test::build_dir() + "/agent/penstock",
                                 dir_.path() / "penstock.yaml",
                                 test::build_dir() + "/plugins",
                                 dir_.path() / "second.log",
                                 {{"STATE_DIRECTORY", (dir_.path() / "state").string()}}});
  one.start();
  EXPECT_FALSE(one.wait_ready());
  EXPECT_THAT(one.log(), HasSubstr("in use by process"));
  EXPECT_THAT(one.log(), Not(HasSubstr("ALARM")));
  EXPECT_EQ(one.stop(), 1) << "so that systemd tries again";
  EXPECT_EQ(before.stop(), 0) << before.log();
}

TEST_F(LastGood, WithNoneTheExitCodeTellsSystemdNotToTryAgain) {
  write("version: 1\nagent: {id: gw}\nno_such_key: 1\n");
  auto one = agent();
  one.start();
  EXPECT_FALSE(one.wait_ready());
  EXPECT_THAT(one.log(), HasSubstr("no_such_key"));
  EXPECT_EQ(one.stop(), 78) << one.log();
}

TEST_F(LastGood, WithoutAnIdTheHostNameNamesTheAgent) {
  write("version: 1\nspool: {dir: spool, max_size: 64MiB, min_free: 1MiB}\n");
  auto one = agent();
  one.start();
  char name[256] = {};
  ASSERT_EQ(gethostname(name, sizeof name - 1), 0);
  ASSERT_TRUE(one.wait_ready()) << one.log();
  EXPECT_THAT(one.log(), HasSubstr(std::string("as ") + name));
  EXPECT_EQ(one.stop(), 0);
}

// What the spool's directory says of plugins is known before any of them is loaded.
TEST_F(LastGood, APluginThatCrashedTheAgentThreeTimesIsLeftOutOfTheNextStart) {
  write_crashes("udp");
  write(config());
  auto one = agent();
  one.start();
  ASSERT_TRUE(one.wait_ready()) << one.log();
  EXPECT_THAT(one.log(), HasSubstr("warning: plugin udp crashed the agent 3 times"))
      << "the check made a trial instance of it";
  EXPECT_THAT(one.log(), HasSubstr("udp/u: this input is left out, the others go on"));
  EXPECT_EQ(one.stop(), 0);
  EXPECT_EQ(kept(), "") << "nobody has asked the plugin whether it is right";
}

TEST_F(LastGood, APluginThatIsLeftOutIsNoReasonToFallBack) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  const auto before = kept();
  write_crashes("udp");
  write(config() + "# an edit\n");
  auto one = agent();
  one.start();
  ASSERT_TRUE(one.wait_ready()) << one.log();
  EXPECT_THAT(one.log(), HasSubstr("udp/u: this input is left out, the others go on"));
  EXPECT_THAT(one.log(), Not(HasSubstr("last good")));
  EXPECT_EQ(one.stop(), 0);
  EXPECT_EQ(kept(), before);
}

TEST_F(LastGood, AnInputThatItsPluginRefusesDoesNotStopCollection) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  const auto before = kept();
  std::string bad = config();
  bad.replace(bad.find(std::to_string(port_)), std::to_string(port_).size(), "151420");
  write(bad);
  collects();
  collects();
  EXPECT_EQ(kept(), before);
}

TEST_F(LastGood, WhereNoneIsKeptTheInputsThatAreNotRefusedRunAndThatIsNotKept) {
  write(refused_by_plugin());
  auto one = agent();
  one.start();
  ASSERT_TRUE(one.wait_ready()) << one.log();
  EXPECT_THAT(one.log(), HasSubstr("151420"));
  EXPECT_EQ(one.stop(), 0) << one.log();
  EXPECT_EQ(kept(), "");
  EXPECT_GE(std::filesystem::file_size(dir_.path() / "spool" / "1.db"), 1U);
}

// One that got flawed since, by an upgrade for one, is no better than the present one.
TEST_F(LastGood, AKeptOneThatIsRefusedTooIsNotFallenBackTo) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  std::string text = kept();
  const std::string here = std::to_string(port_);
  text.replace(text.find(":" + here) + 1, here.size(), std::string(here.size(), '9'));
  std::ofstream(dir_.path() / "state" / "last-good-config") << text;
  write(refused_by_plugin());
  auto one = agent();
  one.start();
  ASSERT_TRUE(one.wait_ready()) << one.log();
  EXPECT_THAT(one.log(), HasSubstr("does not work any more either"));
  EXPECT_THAT(one.log(), Not(HasSubstr("running on the last good")));
  EXPECT_EQ(one.stop(), 0);
}

TEST_F(LastGood, TheOneOfAnotherFileIsNotFallenBackTo) {
  write(config());
  ASSERT_NO_FATAL_FAILURE(run_once());
  std::ofstream(dir_.path() / "other.yaml") << "version: 1\nagent: {id: gw\n";
  auto one = test::AgentProcess({test::build_dir() + "/agent/penstock",
                                 dir_.path() / "other.yaml",
                                 test::build_dir() + "/plugins",
                                 dir_.path() / "other.log",
                                 {{"STATE_DIRECTORY", (dir_.path() / "state").string()}}});
  one.start();
  EXPECT_FALSE(one.wait_ready());
  EXPECT_THAT(one.log(), HasSubstr("is not of"));
  EXPECT_EQ(one.stop(), 78) << one.log();
}

// What is tried out by hand must not take the place of the service's copy.
TEST_F(LastGood, ByHandNothingIsKept) {
  test::Process help({{test::build_dir() + "/agent/penstock", "run", "--help"},
                      {{"STATE_DIRECTORY", ""}},
                      dir_.path() / "help.log"});
  ASSERT_EQ(help.wait(std::chrono::seconds(30)), 0);
  EXPECT_THAT(help.output(), HasSubstr("nowhere"));
  EXPECT_THAT(help.output(), Not(HasSubstr("/var/lib")));
}

}  // namespace
}  // namespace penstock::e2e
