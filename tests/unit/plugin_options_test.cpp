// Goal: what the shipped inputs do not offer is refused by name, not passed over. Method: their
// real option tables and their create, as `penstock check` asks them.
#include <gtest/gtest.h>

#include "agent/host/instance.h"
#include "agent/host/plan.h"
#include "agent/intake/no_sink.h"
#include "tests/support/paths.h"

namespace penstock::host {
namespace {

// What is wrong with an MQTT input that has `option` beside what it needs. Empty: nothing.
std::string problem_with(const std::string& option) {
  const auto loaded = config::load_text(
      "version: 1\nagent: {id: gw}\ninputs:\n"
      "  plc: {plugin: mqtt, server: mqtt://plc7, subscribe: [{filter: a}], " +
          option + "}\n",
      "test.yaml", "/", config::system_environment());
  PluginCatalog catalog(test::build_dir() + "/plugins");
  std::vector<config::Problem> problems;
  const auto plan = plan_inputs(loaded.config, catalog, problems);
  if (!problems.empty()) return problems[0].what;
  intake::NoSink sink;
  auto made =
      Instance::create(*plan.at(0).library, "plc", "gw", plan[0].values, 0, sink, Log::none());
  if (!made) return made.error().what;
  EXPECT_TRUE(Instance::discard(*std::move(made),
                                std::chrono::steady_clock::now() + std::chrono::seconds(30)));
  return "";
}

// A session that ends with the connection would lose what comes while the agent is away.
TEST(PluginOptions, T13_ACleanSessionIsRefusedByName) {
  EXPECT_EQ(problem_with("session_expiry: 30s, clean_session: false"), "");
  for (const std::string option :
       {"clean_session: true", "clean_start: true", "session_expiry: 0s"}) {
    const auto problem = problem_with(option);
    EXPECT_NE(problem.find(option.substr(0, option.find(':')) + ": "), std::string::npos)
        << problem;
    EXPECT_NE(problem.find("published while the agent is away"), std::string::npos) << problem;
  }
}

}  // namespace
}  // namespace penstock::host
