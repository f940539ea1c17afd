#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "agent/base/topic.h"
#include "agent/route/topic_pattern.h"

namespace penstock::route {
namespace {

struct MatchCase {
  std::string_view pattern;
  std::string_view topic;
  bool matches;
};

// Examples of MQTT 5.0 section 4.7, then what they imply.
const std::vector<MatchCase> kMatchCases = {
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/#", "sport", true},
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+", "/finance", false},
    {"#", "$SYS/x", false},
    {"#", "$SYS", false},
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"{n}/monitor/Clients", "$SYS/monitor/Clients", false},
    {"$SYS/#", "$SYS/", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"a/#", "a/$SYS", true},
    {"+/$x", "a/$x", true},
    {"#", "a", true},
    {"#", "a/b/c", true},
    {"#", "/", true},
    {"#", "", true},  // a source without topics
    {"+", "", true},
    {"+/#", "a", true},
    {"+/#", "a/b", true},
    {"a", "a", true},
    {"a", "A", false},
    {"a", "a/", false},
    {"a/", "a", false},
    {"a//b", "a//b", true},
    {"a/+/b", "a//b", true},
    {"a//b", "a/b", false},
    {"a/b", "a/bc", false},
    {"a/bc", "a/b", false},
    {"sport/#", "sports", false},
    {"plant/{line}/telemetry", "plant/l1/telemetry", true},
    {"plant/{line}/telemetry", "plant/l1/alarm", false},
    {"plant/{line}/telemetry", "plant/l1/x/telemetry", false},
    {"{a}/{b}/#", "x/y", true},
    {"{a}/{b}/#", "x", false},
};

TEST(TopicPattern, MatchesAsMqttDoes) {
  for (const auto& each : kMatchCases) {
    const auto pattern = TopicPattern::parse(each.pattern);
    ASSERT_TRUE(pattern) << each.pattern << ": " << pattern.error().what;
    EXPECT_EQ(pattern->matches(each.topic), each.matches)
        << "pattern '" << each.pattern << "' topic '" << each.topic << "'";
  }
}

TEST(TopicPattern, RefusesWhatNoTopicCanMatchAndSaysHowToWriteIt) {
  const std::vector<std::pair<std::string, std::string_view>> cases = {
      {"", "is empty"},
      {"a/#/b", "`#` must be the whole last level"},
      {"a#", "`#` must be the whole last level"},
      {"a/b#", "`#` must be the whole last level"},
      {"##", "`#` must be the whole last level"},
      {"a+", "`+` must be a whole level"},
      {"++/a", "`+` must be a whole level"},
      {"a{x}", "a named level is `{name}` and nothing else"},
      {"{x}b", "a named level is `{name}` and nothing else"},
      {"{}", "a named level is `{name}` and nothing else"},
      {"{1a}", "a named level is `{name}` and nothing else"},
      {"{a b}", "a named level is `{name}` and nothing else"},
      {"{a", "a named level is `{name}` and nothing else"},
      {"{{a}}", "a named level is `{name}` and nothing else"},
      {"{a}/x/{a}", "two levels are called `a`"},
      {"$share/g/a", "leave out `$share/<group>/`"},
      {std::string("a\0b", 3), "holds a NUL"},
      {std::string(65'536, 'a'), "longer than a topic"},
  };
  for (const auto& [text, want] : cases) {
    const auto pattern = TopicPattern::parse(text);
    ASSERT_FALSE(pattern) << text;
    EXPECT_EQ(pattern.error().kind, ErrorKind::kRejected);
    EXPECT_NE(pattern.error().what.find(want), std::string::npos) << pattern.error().what;
  }
}

TEST(TopicPattern, KnowsItsLevels) {
  const auto pattern = TopicPattern::parse("plant/{line}/+/{_cell9}/#");
  ASSERT_TRUE(pattern);
  EXPECT_EQ(pattern->level("line"), 1u);
  EXPECT_EQ(pattern->level("_cell9"), 3u);
  EXPECT_EQ(pattern->level("plant"), std::nullopt);
  EXPECT_EQ(pattern->named_levels().size(), 2u);
  EXPECT_EQ(pattern->min_levels(), 4u);
  EXPECT_TRUE(pattern->open_ended());
  EXPECT_EQ(pattern->text(), "plant/{line}/+/{_cell9}/#");
  EXPECT_FALSE(TopicPattern::parse("a/b")->open_ended());
}

TEST(TopicPattern, EveryTruncationIsParsedOrRefused) {
  const std::string_view text = "$SYS/{line}/+//{x}/a b/#";
  for (size_t size = 0; size <= text.size(); ++size) {
    const auto pattern = TopicPattern::parse(text.substr(0, size));
    for (size_t topic = 0; pattern && topic <= text.size(); ++topic) {
      (void)pattern->matches(text.substr(0, topic));
    }
  }
}

TEST(TopicLevel, CountsFromZeroAndTellsEmptyFromAbsent) {
  EXPECT_EQ(topic_level("a/b//c", 0), "a");
  EXPECT_EQ(topic_level("a/b//c", 1), "b");
  EXPECT_EQ(topic_level("a/b//c", 2), "");
  EXPECT_EQ(topic_level("a/b//c", 3), "c");
  EXPECT_EQ(topic_level("a/b//c", 4), std::nullopt);
  EXPECT_EQ(topic_level("a/", 1), "");
  EXPECT_EQ(topic_level("", 0), "");
  EXPECT_EQ(topic_level("", 1), std::nullopt);
}

}  // namespace
}  // namespace penstock::route
