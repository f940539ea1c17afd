// Secrets arrive, and are shown to nobody.
#include <gtest/gtest.h>

#include "agent/config/options.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

constexpr std::string_view kSecret = "s3cr3t-q7";

std::string endpoint_with(std::string_view auth) {
  return minimal("destinations:\n  d:\n    endpoint: https://z.example\n    auth: " +
                 std::string(auth) + "\n");
}

FakeMachine machine_with_secrets() {
  FakeMachine machine;
  machine.variables["T"] = kSecret;
  machine.files["/credentials/t"] = std::string(kSecret) + "\n";
  machine.files["/credentials/penstock_of_a_folder"] = kSecret;  // LoadCredential=penstock:/folder
  machine.files["/etc/penstock/t"] = std::string(kSecret) + "\r\n";
  return machine;
}

TEST(ConfigSecret, EverySourceGivesTheValueWithoutItsLineEnd) {
  const auto machine = machine_with_secrets();
  struct Row {
    std::string auth;
    std::string source;
  };
  for (const auto& [auth, source] : std::vector<Row>{
           {"{token: \"${env:T}\"}", "environment variable T"},
           {"{token: \"${credential:t}\"}", "credential t"},
           {"{token: \"${credential:of_a_folder}\"}", "credential of_a_folder"},
           {"{token: \"${file:t}\"}", "file t"},
           {"{token_file: t}", "file /etc/penstock/t"},
       }) {
    const auto loaded = machine.load(endpoint_with(auth));
    EXPECT_EQ(texts(loaded.problems), std::vector<std::string>{}) << auth;
    const Secret& token = loaded.config.destinations.at(0).auth.token;
    EXPECT_TRUE(token.available);
    EXPECT_EQ(token.value, kSecret) << auth;
    EXPECT_EQ(token.source, source);
  }
}

TEST(ConfigSecret, AMissingOneDisablesItsDestinationAndNothingElse) {
  for (const auto& [auth, what] : std::vector<std::pair<std::string, std::string>>{
           {"{token: \"${credential:none}\"}",
            "credential none is missing or empty (put it into /etc/penstock/credentials, or give "
            "the service LoadCredential= for it)"},
           {"{token: \"${env:NONE}\"}",
            "environment variable NONE is missing or empty (set it for the service, or write the "
            "value)"},
           {"{token_file: none}",
            "file /etc/penstock/none is missing or empty (check the path and who may read it)"},
       }) {
    const auto loaded = FakeMachine{}.load(endpoint_with(auth));
    EXPECT_TRUE(loaded.ok());
    EXPECT_EQ(
        texts(loaded.problems),
        std::vector<std::string>{"c.yaml:4:3: warning: destination `d` is disabled: " + what});
    EXPECT_FALSE(loaded.config.destinations.at(0).auth.token.available);
    EXPECT_FALSE(loaded.config.destinations.at(0).disabled.empty());
  }
}

// An empty file where a token should be is as good as none.
TEST(ConfigSecret, AnEmptyOneIsAMissingOne) {
  FakeMachine machine;
  machine.files["/credentials/t"] = "\n";
  machine.files["/etc/penstock/t"] = "";
  for (const std::string auth :
       {"{token: \"${credential:t}\"}", "{token_file: t}", "{token: \"\"}"}) {
    const auto loaded = machine.load(endpoint_with(auth));
    EXPECT_TRUE(loaded.ok());
    EXPECT_FALSE(loaded.config.destinations.at(0).auth.token.available) << auth;
    EXPECT_NE(loaded.config.destinations.at(0).disabled, "") << auth;
  }
}

TEST(ConfigSecret, AMissingOneDisablesItsInputAndNothingElse) {
  const auto loaded = FakeMachine{}.load(minimal(
      "inputs:\n  a: {plugin: mqtt, password: \"${credential:none}\"}\n  b: {plugin: mqtt}\n"));
  EXPECT_TRUE(loaded.ok());
  EXPECT_EQ(
      texts(loaded.problems),
      std::vector<std::string>{"c.yaml:4:31: warning: input `a` is disabled: credential none is "
                               "missing (put it into /etc/penstock/credentials, or give the "
                               "service LoadCredential= for it)"});
  EXPECT_EQ(loaded.config.input("a")->disabled, "credential none is missing");
  EXPECT_EQ(loaded.config.input("b")->disabled, "");
}

TEST(ConfigSecret, OneInTheFileItselfIsUsedWithAWarning) {
  const auto loaded = FakeMachine{}.load(endpoint_with("{token: s3cr3t-q7}"));
  EXPECT_TRUE(loaded.ok());
  EXPECT_EQ(texts(loaded.problems),
            std::vector<std::string>{
                "c.yaml:6:19: warning: destinations.d.auth.token: a secret stands in the "
                "configuration file (use ${credential:NAME}, ${file:/path} or ${env:NAME})"});
  EXPECT_EQ(loaded.config.destinations.at(0).auth.token.value, kSecret);
}

TEST(ConfigSecret, RereadSeesWhatChanged) {
  auto machine = machine_with_secrets();
  for (const std::string auth : {"{token: \"Bearer ${credential:t} ${label.site}\"}",
                                 "{token: \"${file:t}\"}", "{token_file: t}"}) {
    auto text = endpoint_with(auth);
    text.replace(text.find("{id: gw-1}"), 10, "{id: gw-1, labels: {site: x}}");
    machine.files["/credentials/t"] = machine.files["/etc/penstock/t"] = kSecret;
    const auto loaded = machine.load(text);
    const Secret& old = loaded.config.destinations.at(0).auth.token;
    EXPECT_EQ(reread(old, loaded.config.agent, machine.environment()).value, old.value);

    machine.files["/credentials/t"] = machine.files["/etc/penstock/t"] = "n3w\n";
    const auto fresh = reread(old, loaded.config.agent, machine.environment());
    EXPECT_TRUE(fresh.available);
    EXPECT_NE(fresh.value.find("n3w"), std::string::npos) << auth;
    EXPECT_EQ(fresh.source, old.source);

    machine.files.clear();
    const auto gone = reread(fresh, loaded.config.agent, machine.environment());
    EXPECT_FALSE(gone.available);
    EXPECT_EQ(gone.value, "");
    machine.files["/credentials/t"] = machine.files["/etc/penstock/t"] = "back";
    EXPECT_TRUE(reread(gone, loaded.config.agent, machine.environment()).available);
  }
}

// What is too short to be one is not taken for one: nothing could keep it out of a log.
TEST(ConfigSecret, OneThatIsTooShortIsRefusedWithWhereItCameFrom) {
  FakeMachine machine;
  for (const std::string value : {"x", "1234567"}) {
    machine.variables["T"] = machine.files["/etc/penstock/t"] = value;
    for (const auto& [auth, what] : std::vector<std::pair<std::string, std::string>>{
             {"{token: \"${env:T}\"}", "token: the value from environment variable T"},
             {"{token_file: t}", "token: the value from file /etc/penstock/t"},
             {"{client_id: a, client_secret: \"${file:t}\"}",
              "client_secret: the value from file t"},
         }) {
      const auto loaded = machine.load(minimal(
          "destinations:\n  d:\n    endpoint: https://1.zerobus.x\n    workspace_url: https://w\n"
          "    auth: " +
          auth + "\n"));
      ASSERT_EQ(loaded.problems.size(), 1u) << auth;
      EXPECT_EQ(to_string(loaded.problems[0]),
                "c.yaml:7:11: error: destinations.d.auth." + what +
                    " is too short to be a secret: " + std::to_string(value.size()) +
                    " characters (at least 8; is it the right file, variable or credential?)");
    }
  }
  machine.variables["T"] = "12345678";
  EXPECT_TRUE(machine.load(endpoint_with("{token: \"${env:T}\"}")).problems.empty());
  machine.variables["T"] = "x";
  EXPECT_TRUE(machine
                  .load(minimal("destinations: {d: {endpoint: \"http://localhost:1\", "
                                "auth: {token: \"${env:T}\"}}}"))
                  .problems.empty())
      << "a service on this machine takes anything";
}

// Puts a secret where something else is expected, in every way the language allows.
TEST(ConfigSecret, NoMessageEverShowsOne) {
  const auto machine = machine_with_secrets();
  for (const std::string reference : {"\"${env:T}\"", "\"${credential:t}\"", "\"${file:t}\""}) {
    for (const std::string line :
         {"memory_limit: @", "unrouted: @", "spool: {dir: 7, commit_interval: @}",
          "spool: {allow_volatile: @, max_size: @, quarantine: {max_size: @}}",
          "destinations: {d: {endpoint: @, type: @, encoding: @, max_rows_per_s: @}}",
          "destinations: {d: {endpoint: \"https://x\", auth: {token: @, tokn: @}, bach: @}}",
          "destinations: {d: {endpoint: \"https://x\", workspace_url: @, auth: {client_id: @, "
          "client_secret: @, token: @}}}",
          "inputs: {i: {plugin: @, topic: @, enabled: @, x: @}}",
          "route_defaults: {destination: @, format: @, max_age: @, max_tables: @}",
          "routes: [{name: @, match: {input: @, topic: @}, table: @, columns: {a: {from: @, as: @, "
          "unit: @, on_error: @, default: @}}}]",
          "control: {listen: @}", "include: [@]", "nonsense: @", "inputs: @", "routes: @"}) {
      std::string text = line;
      for (size_t at; (at = text.find('@')) != std::string::npos;) text.replace(at, 1, reference);
      const auto loaded = machine.load(minimal(text));
      for (const auto& problem : loaded.problems) {
        EXPECT_EQ(to_string(problem).find(kSecret), std::string::npos) << to_string(problem);
      }
      EXPECT_FALSE(loaded.problems.empty()) << text;
    }
  }
}

TEST(ConfigSecret, NoMessageAboutPluginOptionsShowsOne) {
  const auto machine = machine_with_secrets();
  const auto loaded = machine.load(
      minimal("inputs:\n  i: {plugin: p, pw: [s3cr3t-q7], n: \"${env:T}\", e: \"${file:t}\", "
              "b: \"${credential:t}\", d: \"${env:T}\", s: \"${env:T}\", unknown: \"${env:T}\", "
              "pw2: s3cr3t-q7}\n"));
  ASSERT_TRUE(loaded.ok());
  const auto spec = [](std::string name, OptionType type) {
    OptionSpec made;
    made.name = std::move(name);
    made.type = type;
    made.choices = {"s3cr3t-q8"};  // near enough for a did-you-mean
    return made;
  };
  const std::vector<OptionSpec> specs{
      spec("pw", OptionType::kSecret), spec("pw2", OptionType::kSecret),
      spec("n", OptionType::kInteger), spec("e", OptionType::kEnum),
      spec("b", OptionType::kBool),    spec("d", OptionType::kDuration),
      spec("s", OptionType::kSize)};
  std::vector<Problem> problems;
  check_options(loaded.config.input("i")->options, specs, "p", problems);
  EXPECT_EQ(problems.size(), 8u);
  for (const auto& problem : problems) {
    EXPECT_EQ(to_string(problem).find(kSecret), std::string::npos) << to_string(problem);
  }
}

}  // namespace
}  // namespace penstock::config
