#include <gtest/gtest.h>

#include "agent/config/words.h"

namespace penstock::config {
namespace {

using Words = std::vector<std::string_view>;

TEST(ConfigWords, TheNearestKnownWordIsSuggested) {
  const Words known{"max_delay", "max_size", "max_records", "min"};
  EXPECT_EQ(nearest("max_dealy", known), "max_delay");
  EXPECT_EQ(nearest("MaxDelay", known), "max_delay");
  EXPECT_EQ(nearest("max_record", known), "max_records");
  EXPECT_EQ(nearest("mni", known), "min");
  EXPECT_EQ(nearest("colour", known), "");
  EXPECT_EQ(nearest("x", Words{"b"}), "") << "nothing in common is no likeness";
  EXPECT_EQ(nearest(std::string(100'000, 'a'), known), "") << "and costs no time";
}

TEST(ConfigWords, WithoutANearWordTheKnownOnesAreListed) {
  EXPECT_EQ(suggestion("mni", Words{"min", "max"}), "did you mean `min`?");
  EXPECT_EQ(suggestion("colour", Words{"min", "max"}), "known here: min, max");
  EXPECT_EQ(suggestion("colour", Words{}), "");
}

TEST(ConfigWords, BooleansAreThoseOfYaml11) {
  for (const auto* word : {"on", "On", "ON", "off", "no", "NO", "yes", "Yes", "true", "FALSE"}) {
    EXPECT_TRUE(is_boolean_word(word)) << word;
  }
  for (const auto* word : {"", "oN", "y", "n", "0", "none", "online", "nope", "yeS"}) {
    EXPECT_FALSE(is_boolean_word(word)) << word;
  }
}

TEST(ConfigWords, Names) {
  EXPECT_TRUE(is_name("gw-0042.a_B"));
  EXPECT_TRUE(is_name(std::string(64, 'a')));
  EXPECT_FALSE(is_name(std::string(65, 'a')));
  EXPECT_FALSE(is_name(""));
  EXPECT_FALSE(is_name("a b"));
  EXPECT_FALSE(is_name("a/b"));
  EXPECT_FALSE(is_name("ä"));
  EXPECT_TRUE(is_identifier("_a1"));
  EXPECT_FALSE(is_identifier("1a"));
  EXPECT_FALSE(is_identifier("a-b"));
}

TEST(ConfigWords, QuotedTextFitsAMessage) {
  EXPECT_EQ(quote("a\nb"), "`a?b`");
  EXPECT_EQ(quote(std::string(100, 'x')), "`" + std::string(60, 'x') + "...`");
  EXPECT_EQ(quote(std::string(59, 'x') + "äöü"), "`" + std::string(59, 'x') + "...`");
}

}  // namespace
}  // namespace penstock::config
