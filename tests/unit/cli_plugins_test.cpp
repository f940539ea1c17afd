// `penstock plugins`: what an option table says comes out for people, manuals and editors, and a
// plugin that breaks a promise ends with exit code 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cli/cli.h"
#include "agent/cli/plugin_docs.h"
#include "agent/host/plugin_library.h"
#include "tests/support/paths.h"

namespace penstock::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome penstock(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"penstock", "plugins"});
  arguments.insert(arguments.end(), {"--plugin-dir", test::build_dir() + "/test_plugins"});
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run(static_cast<int>(argv.size()), argv.data());
  return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

config::OptionSpec option(std::string name, config::OptionType type, std::string help) {
  config::OptionSpec spec;
  spec.name = std::move(name);
  spec.type = type;
  spec.help = std::move(help);
  return spec;
}

std::vector<config::OptionSpec> table() {
  using config::OptionType;
  auto listen = option("listen", OptionType::kString, "Where \"to\" listen.");
  auto mode = option("mode", OptionType::kEnum, "How.");
  auto size = option("line.size", OptionType::kSize, "How much.");
  auto filter = option("subscribe[].filter", OptionType::kString, "What.");
  listen.required = filter.required = true;
  mode.default_value = "a";
  mode.choices = {"a", "b"};
  size.default_value = "8KiB";
  size.min = 1;
  size.max = 65536;
  return {listen, mode, size, filter};
}

const PluginFace kFace{"mine", "2.1", "Does things"};

TEST(PluginDocs, TextNamesTypeDefaultAndLimits) {
  EXPECT_EQ(options_text(kFace, table()),
            "mine 2.1: Does things\n"
            "\n  listen  (text; required)\n      Where \"to\" listen.\n"
            "\n  mode  (a | b; default a)\n      How.\n"
            "\n  line.size  (size; default 8KiB; 1B to 64KiB)\n      How much.\n"
            "\n  subscribe[].filter  (text; required)\n      What.\n");
}

TEST(PluginDocs, MarkdownIsATable) {
  EXPECT_THAT(options_markdown(kFace, table()),
              AllOf(HasSubstr("| `mode` | a \\| b | `a` |  | How. |\n"),
                    HasSubstr("| `listen` | text | required |  |")));
}

TEST(PluginDocs, SchemaIsTheTreeOfTheNames) {
  EXPECT_EQ(
      options_schema(kFace, table()),
      R"({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mine", "description": "Does things",
 "type": "object", "additionalProperties": false, "required": ["plugin", "listen"], "properties": {
  "plugin": {"const": "mine"},
  "topic": {"type": "string"},
  "enabled": {"type": "boolean"},
  "listen": {"type": "string", "description": "Where \"to\" listen."},
  "mode": {"enum": ["a", "b"], "description": "How. Default: a."},
  "line": {"type": "object", "additionalProperties": false, "required": [], "properties": {
      "size": {"type": "string", "pattern": "^[0-9]+([KMGT]iB|[kMGT]B|B)$", "description": "How much. 1B to 64KiB. Default: 8KiB."}
    }},
  "subscribe": {"type": "array", "items": {"type": "object", "additionalProperties": false, "required": ["filter"], "properties": {
      "filter": {"type": "string", "description": "What."}
    }}}
}}
)");
}

TEST(PluginsCommand, LsNamesAllAndSaysWhyOneCannotBeUsed) {
  const auto outcome = penstock({"ls"});
  EXPECT_EQ(outcome.code, 1) << "some here are broken on purpose";
  EXPECT_THAT(
      outcome.out,
      AllOf(HasSubstr("probe        1          ABI 1.3  Does what a test says"),
            HasSubstr("next_abi     cannot be used: "), HasSubstr("built for plugin ABI 2.0")));
}

TEST(PluginsCommand, ShowPrintsTheTableOfOne) {
  const auto outcome = penstock({"show", "probe"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("count  (number; default 3; 0 to 1000000)"));
  EXPECT_EQ(penstock({"show", "prob"}).code, 2);
}

TEST(PluginsCommand, TestSaysWhatIsWrongAndExitsWithOne) {
  const auto outcome = penstock({"test", test::build_dir() + "/test_plugins/misfit.so", "--options",
                                 "mode: emit_after_stop"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("emit after stop: "), HasSubstr("1 fault found")));
}

TEST(PluginsCommand, TestSurvivesAPluginThatCrashes) {
  const auto outcome = penstock({"test", "misfit", "--options", "mode: crash"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("crash: the plugin ended the test with signal"));
}

TEST(PluginsCommand, TestHearsTheAcknowledgementsOfASource) {
  const auto outcome =
      penstock({"test", "misfit", "--source", "echo ack; exec sleep 60", "--wait", "2"});
  EXPECT_EQ(outcome.code, 1) << "the source says it was acknowledged before anything was safe";
  EXPECT_THAT(outcome.out, HasSubstr("early acknowledgement: "));
}

TEST(PluginsCommand, TestRefusesOptionsThatTheTableRefuses) {
  const auto outcome = penstock({"test", "misfit", "--options", "mood: bad"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("unknown key `mood`"));
}

}  // namespace
}  // namespace penstock::cli
