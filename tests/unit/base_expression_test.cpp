#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "agent/base/expression.h"

namespace penstock {
namespace {

// A canonical spelling of what was parsed: <literal> and {root|argument|.step#index}.
std::string spelled(std::string_view text) {
  const auto expression = Expression::parse(text);
  if (!expression) return "error: " + expression.error().what;
  std::string out;
  for (const auto& part : expression->parts()) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      out += "<" + *literal + ">";
      continue;
    }
    const auto& reference = std::get<Reference>(part);
    out += "{" + reference.root + "|" + reference.argument + "|";
    for (const auto& step : reference.path) {
      const auto* name = std::get_if<std::string>(&step);
      out += name ? "." + *name : "#" + std::to_string(std::get<size_t>(step));
    }
    out += "}";
  }
  return out;
}

TEST(Expression, SplitsTextIntoLiteralsAndReferences) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"", ""},
      {"plain", "<plain>"},
      {"main.iot.t_${topic.line}", "<main.iot.t_>{topic||.line}"},
      {"${a}${b}", "{a||}{b||}"},
      {"${topic[0]}/${topic[12]}", "{topic||#0}</>{topic||#12}"},
      {"${payload.a.b[3].c}", "{payload||.a.b#3.c}"},
      {"${payload['a b']}", "{payload||.a b}"},
      {"${payload[\"x.y\"][0]}", "{payload||.x.y#0}"},
      {"${payload['']}", "{payload||.}"},
      {"${attr.content-type}", "{attr||.content-type}"},
      {"${payload.gr\xc3\xb6\xc3\x9f"
       "e}",
       "{payload||.gr\xc3\xb6\xc3\x9f"
       "e}"},
      {"${payload.0}", "{payload||.0}"},
      {"${env:HOME}", "{env|HOME|}"},
      {"${file:/etc/a.b[0]}", "{file|/etc/a.b[0]|}"},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(spelled(text), want) << text;
}

TEST(Expression, DollarsThatOpenNothingAreText) {
  EXPECT_EQ(spelled("5$"), "<5$>");
  EXPECT_EQ(spelled("$a {b} $"), "<$a {b} $>");
  EXPECT_EQ(spelled("$${a}"), "<${a}>");
  EXPECT_EQ(spelled("x$${a}${b}"), "<x${a}>{b||}");
  EXPECT_EQ(spelled("$$"), "<$$>");
  EXPECT_EQ(spelled("$$${a}"), "<$${a}>");
}

TEST(Expression, SaysWhereAndWhatIsWrong) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"abcde${topic", "`${` at 5 is not closed by `}`"},
      {"${", "`${` at 0 is not closed by `}`"},
      {"${env:X", "`${` at 0 is not closed by `}`"},
      {"${topic.", "`${` at 0 is not closed by `}`"},
      {"${topic[1", "`${` at 0 is not closed by `}`"},
      {"${}", "at offset 2: expected a name"},
      {"${1x}", "at offset 2: expected a name"},
      {"${ topic}", "at offset 2: expected a name"},
      {"${env:}", "at offset 6: expected a name or path after `:`"},
      {"${topic.}", "at offset 8: expected a field name"},
      {"${topic..a}", "at offset 8: expected a field name"},
      {"${topic[]}", "at offset 8: expected an index"},
      {"${topic[-1]}", "at offset 8: expected an index"},
      {"${topic[1}", "at offset 9: expected `]`"},
      {"${topic['a]}", "at offset 9: the quoted name is not closed"},
      {"${topic[99999999999999999999999]}", "the index is too large"},
      {"${topic a}", "at offset 7: expected `.name`, `[index]` or `}`"},
      {"${a${b}}", "at offset 3: expected `.name`, `[index]` or `}`"},
  };
  for (const auto& [text, want] : cases) {
    const auto got = Expression::parse(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().kind, ErrorKind::kRejected);
    EXPECT_NE(got.error().what.find(want), std::string::npos) << text << ": " << got.error().what;
  }
}

TEST(Expression, KnowsLiteralsAndSingleReferences) {
  const auto literal = Expression::parse("$${x}");
  EXPECT_TRUE(literal->is_literal());
  EXPECT_EQ(literal->single(), nullptr);
  EXPECT_EQ(literal->text(), "$${x}");

  const auto single = Expression::parse("${payload.v}");
  EXPECT_FALSE(single->is_literal());
  ASSERT_NE(single->single(), nullptr);
  EXPECT_EQ(single->single()->text, "${payload.v}");

  const auto mixed = Expression::parse("a${payload.v}");
  EXPECT_FALSE(mixed->is_literal());
  EXPECT_EQ(mixed->single(), nullptr);

  EXPECT_TRUE(Expression::parse("")->is_literal());
}

TEST(Expression, EveryTruncationIsParsedOrRefused) {
  const std::string_view text = "a${payload.b[12]['c d']}$${e}${env:F}${topic[\"g\"]}";
  for (size_t size = 0; size <= text.size(); ++size) {
    const auto got = Expression::parse(text.substr(0, size));
    if (!got) {
      EXPECT_FALSE(got.error().what.empty());
    }
  }
}

}  // namespace
}  // namespace penstock
