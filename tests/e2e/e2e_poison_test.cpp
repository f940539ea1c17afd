// Goal: records that the service itself refuses never block their table: each lands in the
// quarantine with the service's reason, everything else lands in the table. Method: the agent as a
// program against the local server, which refuses every row with a mark in it.
#include <filesystem>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/scenario.h"
#include "tests/support/http_admin.h"
#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::e2e {
namespace {

constexpr Millis kGenerous{60000};
constexpr const char* kAlarms = "main.demo.alarms";

std::string alarm(int64_t n, const char* message) {
  return "{\"n\":" + std::to_string(n) + ",\"code\":1,\"message\":\"" + message + "\"}";
}

// The database of the spool; there is one generation.
std::filesystem::path spool_database(const std::filesystem::path& dir) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.path().extension() == ".db") return entry.path();
  }
  return {};
}

class Poison : public testing::Test {
 protected:
  void SetUp() override {
    scenario_ = std::make_unique<Scenario>(
        ScenarioOptions{test::build_dir(), test::source_dir(), dir_.path(), "penstock", 1.0});
    scenario_->broker().start();
    scenario_->server().start();
    scenario_->start_agent();
    scenario_->start_feeders();
  }
  void TearDown() override {
    if (HasFailure() && scenario_)
      std::fprintf(stderr, "--- the agent's log\n%s---\n", scenario_->agent().log().c_str());
  }
  void publish(int64_t n, const char* message) {
    ASSERT_TRUE(scenario_->mqtt().publish_and_wait("plant/a/alarm", alarm(n, message), kGenerous));
  }

  test::TempDir dir_{"e2e"};
  std::unique_ptr<Scenario> scenario_;
};

TEST_F(Poison, RecordsTheServiceRefusesAreSetAsideWithItsReasonAndNothingElseIs) {
  ASSERT_TRUE(scenario_->settle(kGenerous));
  ASSERT_EQ(
      test::http_post(scenario_->server().admin_port(), "/faults/reject?match=poisoned").status,
      200);
  publish(1'000'001, "poisoned one");
  publish(1'000'002, "poisoned two");
  publish(1'000'003, "good");
  publish(1'000'004, "poisoned three");
  publish(1'000'005, "good, the last");
  ASSERT_TRUE(test::wait_until(
      [&] { return scenario_->server().lakehouse().ids(kAlarms).contains(1'000'005); }, kGenerous))
      << "a refused record must not block its table";
  ASSERT_TRUE(scenario_->settle(kGenerous));
  ASSERT_TRUE(scenario_->stop_feeders());
  EXPECT_TRUE(scenario_->drain(kGenerous));
  for (const auto& verdict : scenario_->verdicts()) EXPECT_EQ(verdict.missing, 0u) << verdict.table;

  const auto landed = scenario_->server().lakehouse().ids(kAlarms);
  std::set<int64_t> extra;
  for (auto at = landed.lower_bound(1'000'000); at != landed.end(); ++at) extra.insert(at->first);
  EXPECT_EQ(extra, (std::set<int64_t>{1'000'003, 1'000'005}));
  EXPECT_EQ(scenario_->stop_agent(), 0);

  const test::Lakehouse spool(spool_database(scenario_->spool_dir()));
  EXPECT_EQ(spool.value("SELECT count(*) FROM quarantine"), "3");
  EXPECT_EQ(spool.value("SELECT count(*) FROM quarantine WHERE reason LIKE "
                        "'refused by the service: INVALID_ARGUMENT: %' AND "
                        "instr(record, CAST('poisoned' AS BLOB)) > 0"),
            "3");
}

}  // namespace
}  // namespace penstock::e2e
