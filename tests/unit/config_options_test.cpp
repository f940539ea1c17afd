#include <gtest/gtest.h>

#include "agent/config/option_table.h"
#include "agent/config/options.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

OptionSpec spec(std::string name, OptionType type, std::optional<std::string> preset = {}) {
  OptionSpec made;
  made.name = std::move(name);
  made.type = type;
  made.default_value = std::move(preset);
  made.help = "help for " + made.name;
  return made;
}

// A table as a plugin has it.
std::vector<OptionSpec> table() {
  std::vector<OptionSpec> specs{
      spec("server", OptionType::kString),
      spec("protocol", OptionType::kEnum, "auto"),
      spec("password", OptionType::kSecret),
      spec("keepalive", OptionType::kDuration, "60s"),
      spec("max_packet_size", OptionType::kSize, "10MiB"),
      spec("clean", OptionType::kBool, "false"),
      spec("allow", OptionType::kStringList, "[a, \"b c\"]"),
      spec("line.baud", OptionType::kInteger, "9600"),
      spec("line.device", OptionType::kPath),
      spec("subscribe[].filter", OptionType::kString),
      spec("subscribe[].qos", OptionType::kInteger, "1"),
      spec("sources", OptionType::kStringList),
  };
  specs[0].required = true;
  specs[1].choices = {"auto", "5", "3.1.1"};
  specs[3].min = 1'000;
  specs[3].max = 3'600'000;
  specs[4].min = 1'024;
  specs[4].max = 256 << 20;
  specs[9].required = true;
  specs[10].max = 2;
  return specs;
}

struct Checked {
  std::vector<std::string> values;  // name=text or name=number
  std::vector<std::string> problems;
};

// `options` are the keys of input i besides `plugin`, in flow form; they start at 3:28.
Checked check(const std::string& options, const FakeMachine& machine = {}) {
  const auto loaded = machine.load(minimal("inputs: {i: {plugin: mqtt, " + options + "}}\n"));
  EXPECT_TRUE(loaded.ok()) << options;
  Checked out;
  std::vector<Problem> problems;
  const auto specs = table();
  for (const auto& value :
       check_options(loaded.config.inputs.at(0).options, specs, "mqtt", problems)) {
    const bool number = value.type == OptionType::kBool || value.type == OptionType::kInteger ||
                        value.type == OptionType::kSize || value.type == OptionType::kDuration;
    out.values.push_back(value.name + "=" + (number ? std::to_string(value.number) : value.text));
  }
  out.problems = texts(problems);
  return out;
}

TEST(ConfigOptions, DefaultsAreFilledIn) {
  const auto checked = check("server: x");
  EXPECT_EQ(checked.problems, std::vector<std::string>{});
  EXPECT_EQ(checked.values,
            (std::vector<std::string>{"server=x", "protocol=auto", "keepalive=60000",
                                      "max_packet_size=10485760", "clean=0", "allow[0]=a",
                                      "allow[1]=b c", "line.baud=9600"}));
}

TEST(ConfigOptions, ValuesOverrideDefaultsAndListsAreNumbered) {
  FakeMachine machine;
  machine.files["/credentials/pw"] = "pw\n";
  const auto checked = check(
      "server: \"${agent.id}.local\", protocol: 5, password: \"${credential:pw}\", keepalive: 5s, "
      "max_packet_size: 1KiB, clean: true, allow: [x, \"on\"], line: {baud: 300, device: /dev/x}, "
      "subscribe: [{filter: a}, {qos: 2, filter: \"$${b}\"}]",
      machine);
  EXPECT_EQ(checked.problems, std::vector<std::string>{});
  EXPECT_EQ(checked.values,
            (std::vector<std::string>{
                "server=gw-1.local", "protocol=5", "password=pw", "keepalive=5000",
                "max_packet_size=1024", "clean=1", "allow[0]=x", "allow[1]=on", "line.baud=300",
                "line.device=/dev/x", "subscribe[0].filter=a", "subscribe[1].filter=${b}",
                "subscribe[0].qos=1", "subscribe[1].qos=2"}));
}

TEST(ConfigOptions, RelativePathsStartAtTheFolderOfTheFile) {
  FakeMachine machine;
  machine.files = {{"/etc/penstock/conf.d/i.yaml",
                    "inputs: {i: {plugin: p, server: x, line: {device: ../d}}}\n"}};
  const auto loaded = machine.load(minimal("include: [conf.d/i.yaml]\n"));
  std::vector<Problem> problems;
  const auto specs = table();
  const auto values = check_options(loaded.config.inputs.at(0).options, specs, "p", problems);
  EXPECT_EQ(values.back().text, "/etc/penstock/d");
}

TEST(ConfigOptions, ASecretKeepsHowItIsReadAgain) {
  FakeMachine machine;
  machine.files = {{"/etc/penstock/conf.d/i.yaml",
                    "inputs: {i: {plugin: p, server: x, password: \"${file:pw}\"}}\n"},
                   {"/etc/penstock/conf.d/pw", "one\n"}};
  const auto loaded = machine.load(minimal("include: [conf.d/i.yaml]\n"));
  std::vector<Problem> problems;
  const auto specs = table();
  for (const auto& value :
       check_options(loaded.config.inputs.at(0).options, specs, "p", problems)) {
    const bool secret = value.name == "password";
    EXPECT_TRUE(!secret || value.text == "one");
    EXPECT_EQ(value.written, secret ? "${file:pw}" : "") << value.name;
    EXPECT_EQ(value.folder, secret ? "/etc/penstock/conf.d" : "") << value.name;
  }
}

TEST(ConfigOptions, EveryMistakeIsNamedWithItsPlace) {
  struct Row {
    std::string options;
    std::vector<std::string> expected;
  };
  for (
      const auto& [options, expected] : std::vector<Row>{
          {"clean: true", {"c.yaml:3:13: error: mqtt: server is missing (help for server)"}},
          {"server: x, subscribe: [{qos: 1}]",
           {"c.yaml:3:51: error: mqtt: subscribe[0].filter is missing (help for "
            "subscribe[].filter)"}},
          {"sever: x, server: y, line: {boud: 1}, subscribe: [{filter: a, qso: 1}]",
           {"c.yaml:3:28: error: mqtt: unknown key `sever` (did you mean `server`?)",
            "c.yaml:3:56: error: mqtt: unknown key `line.boud` (did you mean `baud`?)",
            "c.yaml:3:90: error: mqtt: unknown key `subscribe[0].qso` (did you mean `qos`?)"}},
          {"server: x, line: {colour: 1}",
           {"c.yaml:3:46: error: mqtt: unknown key `line.colour` (known here: baud, device)"}},
          {"server: x, line: 5",
           {"c.yaml:3:45: error: mqtt: line: a map is needed, not a single value"}},
          {"server: x, subscribe: {filter: a}",
           {"c.yaml:3:50: error: mqtt: subscribe: a list of maps is needed, not a map"}},
          {"server: x, subscribe: [a]",
           {"c.yaml:3:51: error: mqtt: subscribe[0]: a map is needed, not a single value"}},
          {"server: [x]",
           {"c.yaml:3:36: error: mqtt: server: a single value is needed, not a list"}},
          {"server: ~",
           {"c.yaml:3:36: error: mqtt: server is `~` (give a value, remove the key, or quote "
            "text)"}},
          {"server: off",
           {"c.yaml:3:36: error: mqtt: server: `off` is a boolean to many YAML readers (quote "
            "it)"}},
          {"server: x, protocol: 4",
           {"c.yaml:3:49: error: mqtt: protocol: `4` is not one of auto, 5, 3.1.1"}},
          {"server: x, protocol: atuo",
           {"c.yaml:3:49: error: mqtt: protocol: `atuo` is not one of auto, 5, 3.1.1 (did you mean "
            "`auto`?)"}},
          {"server: x, keepalive: 60",
           {"c.yaml:3:50: error: mqtt: keepalive: `60` has no unit (a duration is a whole number "
            "with "
            "ms, s, m, h or d, like 500ms)"}},
          {"server: x, keepalive: 2h",
           {"c.yaml:3:50: error: mqtt: keepalive: `2h` is out of range (from 1s to 1h)"}},
          {"server: x, max_packet_size: 1B",
           {"c.yaml:3:56: error: mqtt: max_packet_size: `1B` is out of range (from 1KiB to "
            "256MiB)"}},
          {"server: x, clean: yes",
           {"c.yaml:3:46: error: mqtt: clean: `yes` is not true or false (write true or false)"}},
          {"server: x, line: {baud: fast}",
           {"c.yaml:3:52: error: mqtt: line.baud: `fast` is not a whole number (write a whole "
            "number)"}},
          {"server: x, subscribe: [{filter: a, qos: 3}]",
           {"c.yaml:3:68: error: mqtt: subscribe[0].qos: `3` is out of range (from 0 to 2)"}},
          {"server: x, sources: []",
           {"c.yaml:3:48: error: mqtt: sources has no entries (remove the key or list some; help "
            "for sources)"}},
          {"server: x, sources: ",
           {"c.yaml:3:39: error: mqtt: sources has no entries (remove the key or list some; help "
            "for sources)"}},
          {"server: x, allow: []", {}},
          {"server: x, allow: a",
           {"c.yaml:3:46: error: mqtt: allow: a list, such as [a, b], is needed, not a single "
            "value"}},
          {"server: x, allow: [a, [b], no]",
           {"c.yaml:3:50: error: mqtt: allow[1]: a single value is needed, not a list",
            "c.yaml:3:55: error: mqtt: allow[2]: `no` is a boolean to many YAML readers (quote "
            "it)"}},
          {"server: x, password: hunter2",
           {"c.yaml:3:49: warning: mqtt: password: a secret stands in the configuration file (use "
            "${credential:NAME}, ${file:/path} or ${env:NAME})"}},
          {"server: x, password: no",
           {"c.yaml:3:49: error: mqtt: password: the text is a boolean to many YAML readers (quote "
            "it)"}},
      }) {
    EXPECT_EQ(check(options).problems, expected) << options;
  }
}

std::string table_problem(std::vector<std::string> names) {
  std::vector<OptionSpec> table;
  for (auto& name : names) {
    OptionSpec spec;
    spec.name = std::move(name);
    table.push_back(std::move(spec));
  }
  return option_table_problem(table);
}

TEST(OptionTable, OneThatCannotBeWalkedIsRefusedWithTheRow) {
  EXPECT_EQ(table_problem({"a", "b.c", "b.d", "e[].f", "e[].g.h"}), "");
  for (const char* name : {"", ".", "a.", ".a", "a b", "[]", "a[]", "a[].b[]", "a[][].b", "a[0].b"})
    EXPECT_NE(table_problem({name}).find("no path of words"), std::string::npos) << name;
  EXPECT_NE(table_problem({"a", "a"}).find("twice"), std::string::npos);
  for (const auto& pair : std::vector<std::vector<std::string>>{
           {"a.b", "a"}, {"a", "a.b"}, {"a[].b", "a.c"}, {"a.b", "a[].c"}, {"x.a.b", "x.a"}})
    EXPECT_NE(table_problem(pair).find("not two of them"), std::string::npos) << pair[1];
}

}  // namespace
}  // namespace penstock::config
