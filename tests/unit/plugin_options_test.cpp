// Goal: what the shipped inputs do not offer is refused by name, not passed over. Method: their
// real option tables, as `penstock check` asks them.
#include <gtest/gtest.h>

#include "agent/host/plan.h"
#include "tests/support/paths.h"

namespace penstock::host {
namespace {

// What is wrong with an MQTT input that has `option` beside what it needs.
std::vector<config::Problem> problems_with(const std::string& option) {
  const auto loaded = config::load_text(
      "version: 1\nagent: {id: gw}\ninputs:\n"
      "  plc: {plugin: mqtt, server: mqtt://plc7, subscribe: [{filter: a}], " +
          option + "}\n",
      "test.yaml", "/", config::system_environment());
  PluginCatalog catalog(test::build_dir() + "/plugins");
  std::vector<config::Problem> problems;
  const auto plan = plan_inputs(loaded.config, catalog, problems);
  EXPECT_TRUE(plan.size() == 1 && plan[0].complete == problems.empty());
  return problems;
}

// A session that ends with the connection would lose what comes while the agent is away.
TEST(PluginOptions, T13_ACleanSessionIsRefusedByName) {
  EXPECT_TRUE(problems_with("keepalive: 30s").empty());
  for (const std::string key : {"clean_session", "clean_start"}) {
    const auto problems = problems_with(key + ": true");
    ASSERT_EQ(problems.size(), 1u) << key;
    EXPECT_FALSE(problems[0].warning);
    EXPECT_EQ(problems[0].at.line, 4);
    EXPECT_NE(problems[0].what.find("mqtt: unknown key"), std::string::npos) << problems[0].what;
    EXPECT_NE(problems[0].what.find(key), std::string::npos) << problems[0].what;
  }
}

}  // namespace
}  // namespace penstock::host
