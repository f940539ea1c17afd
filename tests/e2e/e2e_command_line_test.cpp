// What a person meets before anything runs: check, version, and refusals that say what to do.
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace penstock::e2e {
namespace {

struct Outcome {
  int code;
  std::string text;
};

class CommandLine : public testing::Test {
 protected:
  Outcome penstock(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), test::build_dir() + "/agent/penstock");
    if (arguments[1] == "check") {
      arguments.push_back("--plugin-dir");
      arguments.push_back(test::build_dir() + "/plugins");
    }
    test::Process process({arguments,
                           {{"PENSTOCK_DEMO_SPOOL", (dir_.path() / "spool").string()},
                            {"PENSTOCK_DEMO_ENDPOINT", "http://127.0.0.1:1"},
                            {"PENSTOCK_DEMO_TOKEN", "x"},
                            {"PENSTOCK_DEMO_BROKER", "mqtt://127.0.0.1:1"},
                            {"PENSTOCK_DEMO_UDP", "127.0.0.1:1"},
                            {"PENSTOCK_DEMO_SERIAL", "/nowhere"}},
                           dir_.path() / "out.log"});
    const auto code = process.wait(std::chrono::seconds(30));
    return {code.value_or(-1), process.output()};
  }
  std::string file_with(const std::string& text) {
    const auto path = dir_.path() / "penstock.yaml";
    std::ofstream(path) << text;
    return path.string();
  }

  test::TempDir dir_{"cli"};
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(CommandLine, TheDemoConfigurationIsSound) {
  const auto outcome = penstock({"check", "--config", test::source_dir() + "/conf/demo.yaml"});
  EXPECT_EQ(outcome.code, 0) << outcome.text;
}

TEST_F(CommandLine, EveryMistakeIsListedWithItsPlace) {
  const auto file = file_with(
      "version: 1\n"
      "agent: {id: gw}\n"
      "memory_limt: 48MiB\n"
      "spool: {max_size: 12}\n"
      "destinations:\n"
      "  d: {type: zerobus, endpoint: 'http://127.0.0.1:1', auth: {token: x}, schema: none}\n"
      "routes:\n"
      "  - {name: r, match: {topic: '#'}, table: main.demo.t, format: cbor}\n");
  const auto outcome = penstock({"check", "--config", file});
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_TRUE(has(outcome.text, ":3:1")) << outcome.text;
  EXPECT_TRUE(has(outcome.text, "memory_limit")) << "did you mean... " << outcome.text;
  EXPECT_TRUE(has(outcome.text, ":4:")) << outcome.text;
  EXPECT_TRUE(has(outcome.text, ":8:")) << outcome.text;
  EXPECT_TRUE(has(outcome.text, "not supported yet")) << outcome.text;
}

// The workspace id is part of the token request, and only the endpoint says it.
TEST_F(CommandLine, ClientCredentialsNeedAnEndpointWithAWorkspaceId) {
  const auto file = file_with(
      "version: 1\nagent: {id: gw}\ndestinations:\n  d:\n    endpoint: https://acme.example\n"
      "    workspace_url: https://acme.example\n"
      "    auth: {client_id: a, client_secret: \"${env:PENSTOCK_DEMO_TOKEN}\"}\n");
  const auto outcome = penstock({"check", "--config", file});
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_TRUE(has(outcome.text, "WORKSPACE_ID.zerobus")) << outcome.text;
}

TEST_F(CommandLine, AFileThatIsNotThereIsNamed) {
  const auto outcome = penstock({"check", "--config", "/nowhere/penstock.yaml"});
  EXPECT_EQ(outcome.code, 2) << outcome.text;
  EXPECT_TRUE(has(outcome.text, "/nowhere/penstock.yaml")) << outcome.text;
}

TEST_F(CommandLine, VersionIsPrinted) {
  const auto outcome = penstock({"version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(has(outcome.text, "penstock")) << outcome.text;
}

}  // namespace
}  // namespace penstock::e2e
