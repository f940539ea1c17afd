#include <gtest/gtest.h>

#include "agent/base/expression.h"
#include "agent/config/substitute.h"
#include "tests/unit/config_test_support.h"

namespace penstock::config {
namespace {

class ConfigSubstitute : public testing::Test {
 protected:
  ConfigSubstitute() {
    machine.variables = {{"HOME", "/root"}, {"EMPTY", ""}, {"ODD", "a${topic}b"}, {"CASH", "US$"}};
    machine.files = {
        {"/credentials/tok", "s3cret\n"}, {"/abs", "A\r\n"}, {"/etc/penstock/rel", "R\n\n"}};
    agent.id = "gw-1";
    agent.labels = {{"site", "ber1"}, {"line", "l7"}};
  }
  Substituted run(std::string_view text, unsigned allowed = kNoRecord) {
    environment = machine.environment();
    return substitute(text, allowed, {environment, &agent, "/etc/penstock"});
  }

  FakeMachine machine;
  Environment environment;
  Agent agent;
};

TEST_F(ConfigSubstitute, ReferencesKnownAtLoadAreReplaced) {
  EXPECT_EQ(run("plain").text, "plain");
  EXPECT_EQ(run("x-${env:HOME}-${env:EMPTY}-y").text, "x-/root--y");
  EXPECT_EQ(run("${credential:tok}").text, "s3cret");
  EXPECT_EQ(run("${file:/abs}").text, "A");
  EXPECT_EQ(run("${file:rel}").text, "R\n") << "one line end goes, relative to the file's folder";
  EXPECT_EQ(run("${agent.id}/${label.site}").text, "gw-1/ber1");
  EXPECT_EQ(run("$${env:HOME} costs $5").text, "${env:HOME} costs $5");
}

TEST_F(ConfigSubstitute, OriginsAreNamedForMessages) {
  const auto result = run("${credential:tok}${env:HOME}${agent.id}");
  EXPECT_EQ(result.origins,
            (std::vector<std::string>{"credential tok", "environment variable HOME"}));
}

TEST_F(ConfigSubstitute, WhatIsMissingIsListed) {
  const auto result = run("${env:NONE}${credential:none}${file:/none}");
  EXPECT_EQ(result.missing,
            (std::vector<std::string>{"environment variable NONE is not set",
                                      "credential none is missing", "file /none cannot be read"}));
  machine.has_credentials = false;
  EXPECT_EQ(run("${credential:tok}").missing,
            std::vector<std::string>{"credential tok is missing"});
}

TEST_F(ConfigSubstitute, PerRecordReferencesStayWhereTheyAreAllowed) {
  EXPECT_EQ(run("a_${label.line}_${topic.x}", kTopicScope).text, "a_l7_${topic.x}");
  EXPECT_EQ(run("$${x}${source}", kSourceScope).text, "$${x}${source}");
}

// Otherwise whoever sets a variable could write expressions.
TEST_F(ConfigSubstitute, ValuesPutIntoAnExpressionStayText) {
  const auto result = run("${env:ODD}", kTopicScope);
  EXPECT_EQ(result.text, "a$${topic}b");
  EXPECT_TRUE(Expression::parse(result.text)->is_literal());
  EXPECT_EQ(run("${env:CASH}${topic}", kTopicScope).wrong, "a `$` stands right before `${topic}`");
}

TEST_F(ConfigSubstitute, WhatIsNoGoodIsNamed) {
  struct Row {
    std::string_view text;
    unsigned allowed;
    std::string wrong;
    std::string hint;
  };
  const std::string nowhere =
      "per record there are values only in a route's table and columns and an input's topic";
  for (const auto& row : std::vector<Row>{
           {"${topic.x}", kNoRecord, "`${topic.x}` cannot be used here", nowhere},
           {"${payload.v}", kAttrScope | kSourceScope, "`${payload.v}` cannot be used here",
            "per record only source, attr can be used here"},
           {"${topik.x}", kTopicScope, "`${topik.x}` is not known", "did you mean `topic`?"},
           {"${label.sitee}", kNoRecord, "there is no label `sitee`", "did you mean `site`?"},
           {"${agent.name}", kNoRecord, "`${agent.name}` is not known",
            "write ${agent.id} or ${label.NAME}"},
           {"${env.HOME}", kNoRecord, "`${env.HOME}` names nothing", "write ${env:NAME}"},
           {"${credential:../x}", kNoRecord, "`${credential:../x}` is a path",
            "a credential has a plain name; see ${file:}"},
           {"a${env:X", kNoRecord, "`${` at 1 is not closed by `}`; write `$${` for the text `${`",
            ""},
       }) {
    const auto result = run(row.text, row.allowed);
    EXPECT_EQ(result.wrong, row.wrong) << row.text;
    EXPECT_EQ(result.hint, row.hint) << row.text;
  }
}

TEST_F(ConfigSubstitute, BeforeTheAgentIsKnownItCannotBeUsed) {
  environment = machine.environment();
  EXPECT_EQ(substitute("${agent.id}", kNoRecord, {environment, nullptr, ""}).wrong,
            "`${agent.id}` cannot be used here");
}

}  // namespace
}  // namespace penstock::config
