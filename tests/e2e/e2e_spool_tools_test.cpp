// Goal: a device that died during an outage loses nothing as long as its card can be read: a
// laptop exports the spool, imports it elsewhere and forwards it, and every row carries the name
// the dead device gave it. Method: the agent as a program, killed; its spool through `penstock
// spool`; the agent again on the imported spool.
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/scenario.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

constexpr Millis kGenerous{60000};

class SpoolTools : public testing::Test {
 protected:
  // Runs `penstock spool ...`; its output.
  std::string spool(std::vector<std::string> arguments, int code) {
    arguments.insert(arguments.begin(), {test::build_dir() + "/agent/penstock", "spool"});
    test::Process process({arguments, {}, dir_.path() / "tools.log"});
    const auto ended = process.wait(kGenerous);
    EXPECT_EQ(ended, std::optional(code)) << arguments[2] << ": " << process.output();
    return process.output();
  }
  void TearDown() override {
    if (HasFailure() && scenario_)
      std::fprintf(stderr, "--- the agent's log\n%s---\n", scenario_->agent().log().c_str());
  }

  test::TempDir dir_{"e2e"};
  std::unique_ptr<Scenario> scenario_;
};

TEST_F(SpoolTools, ADeadDevicesSpoolIsForwardedByAnotherUnderItsOwnName) {
  scenario_ = std::make_unique<Scenario>(
      ScenarioOptions{test::build_dir(), test::source_dir(), dir_.path(), "penstock", 1.0});
  scenario_->broker().start();
  scenario_->start_agent();  // no server: everything stays in the spool
  scenario_->start_feeders();
  ASSERT_TRUE(test::wait_until([&] { return scenario_->sent_in_all() >= 600; }, kGenerous));
  EXPECT_NE(spool({"stat", scenario_->spool_dir()}, 2).find("in use"), std::string::npos);
  ASSERT_TRUE(scenario_->stop_feeders());
  scenario_->kill_agent();

  const auto card = dir_.path() / "card";
  const auto dump = dir_.path() / "dump.ndjson";
  std::filesystem::rename(scenario_->spool_dir(), card);
  spool({"fsck", card}, 0);
  const std::string exported = spool({"export", card, "-o", dump}, 0);
  const uint64_t records = std::stoull(exported);
  ASSERT_GT(records, 300u) << exported;
  spool({"import", dump, scenario_->spool_dir()}, 0);
  spool({"import", dump, scenario_->spool_dir()}, 0);  // and by mistake once more

  scenario_->server().start();
  scenario_->start_agent();
  EXPECT_TRUE(scenario_->drain(kGenerous));
  for (const auto& verdict : scenario_->verdicts()) {
    EXPECT_EQ(verdict.missing, 0u) << verdict.table;
  }
  std::ifstream in(dump);
  std::string header;
  std::getline(in, header);
  const auto at = header.find("\"epoch\":\"");
  ASSERT_NE(at, std::string::npos) << header;
  const std::string origin = "demo-gateway/" + header.substr(at + 9, 16) + "/%";
  // What the broker sends again because it never heard of the PUBACK is the new agent's.
  uint64_t under_old_name = 0;
  for (const auto& stream : scenario_->streams()) {
    const auto distinct = scenario_->server().lakehouse().value(
        "SELECT count(DISTINCT _origin || '#' || _seq) FROM \"" + stream->table +
        "\" WHERE _origin LIKE '" + origin + "'");
    under_old_name += distinct.empty() ? 0 : std::stoull(distinct);
  }
  EXPECT_EQ(under_old_name, records);
}

}  // namespace
}  // namespace penstock::e2e
