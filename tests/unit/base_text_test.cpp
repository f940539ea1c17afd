#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "agent/base/text.h"

namespace penstock {
namespace {

TEST(Shown, PrintableTextStaysAsItIs) {
  EXPECT_EQ(shown("plant/l1"), "plant/l1");
  EXPECT_EQ(shown("gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(shown(""), "");
}

TEST(Shown, NothingOutsideCanBreakTheLineOrTheEncoding) {
  EXPECT_EQ(shown("a\nb\r\t\x1b\x7f"), "a\\x0ab\\x0d\\x09\\x1b\\x7f");
  EXPECT_EQ(shown(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(shown("\xff\xc3"), "\\xff\\xc3");
}

TEST(Shown, IsCutBetweenCharacters) {
  EXPECT_EQ(shown("abcd", 4), "abcd");
  EXPECT_EQ(shown("abcde", 4), "abcd...");
  EXPECT_EQ(shown("abc\xc3\xbc", 4), "abc...");
}

TEST(Utf8Character, KnowsWellFormedFromIllFormed) {
  const std::vector<std::pair<std::string_view, size_t>> cases = {
      {"", 0},
      {"a", 1},
      {"\x80", 0},
      {"\xc1\x81", 0},  // overlong
      {"\xc2\x80", 2},
      {"\xc2", 0},
      {"\xe0\x9f\xbf", 0},  // overlong
      {"\xe0\xa0\x80", 3},
      {"\xed\x9f\xbf", 3},
      {"\xed\xa0\x80", 0},  // surrogate
      {"\xe2\x82", 0},
      {"\xe2\x82x", 0},
      {"\xf0\x8f\xbf\xbf", 0},  // overlong
      {"\xf0\x90\x80\x80", 4},
      {"\xf4\x8f\xbf\xbf", 4},
      {"\xf4\x90\x80\x80", 0},  // beyond U+10FFFF
      {"\xf5\x80\x80\x80", 0},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(utf8_character(text), want) << shown(text);
}

}  // namespace
}  // namespace penstock
