// The quick way for payloads that are rows as they stand: whatever it takes, JsonReader takes too,
// and gives the same text.
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "agent/base/text.h"
#include "agent/codec/compact_object.h"
#include "agent/codec/json_reader.h"
#include "agent/codec/number_text.h"
#include "tests/unit/codec_json_damage.h"

namespace penstock::codec {
namespace {

constexpr size_t kDepth = 20;

std::string quick(std::string_view payload) {
  CompactObject reader(kDepth);
  const auto object = reader.read(payload);
  return object ? std::string(*object) : "left";
}

// The whole payload as JsonReader gives it; "left" where it is refused or no object.
class Judge {
 public:
  std::string read(std::string_view payload) {
    if (!reader_.read(payload) || !reader_.is_object()) return "left";
    return std::string(reader_.value(0).json);
  }

 private:
  static PathTree whole() {
    PathTree paths;
    paths.add({});
    return paths;
  }
  JsonReader reader_{whole(), kDepth};
};

TEST(CompactObject, WhiteSpaceGoesAndNothingElse) {
  EXPECT_EQ(quick(R"({"a":1.50,"b":[1,{"c":null}],"d":"x y"})"),
            R"({"a":1.50,"b":[1,{"c":null}],"d":"x y"})");
  EXPECT_EQ(quick(" { \"a\" : 1.50 ,\r\n \"b\" :\t[ 1 , { \"c\" : null } ] , \"d\" : \"x y\" } \n"),
            R"({"a":1.50,"b":[1,{"c":null}],"d":"x y"})");
  EXPECT_EQ(quick("{}"), "{}");
  EXPECT_EQ(quick(" { } "), "{}");
  EXPECT_EQ(quick(R"({"a":[ ],"b":{ }})"), R"({"a":[],"b":{}})");
  EXPECT_EQ(quick(R"({"a":"\n\"\\\u00fc","b":true,"c":false,"d":-0.5e-7})"),
            R"({"a":"\n\"\\\u00fc","b":true,"c":false,"d":-0.5e-7})");
  EXPECT_EQ(quick("{\"\":\"\xc3\xbc\"}"), "{\"\":\"\xc3\xbc\"}");
}

TEST(CompactObject, AKeyTwiceInOneObjectIsLeftAndInTwoObjectsTaken) {
  EXPECT_EQ(quick(R"({"a":1,"a":2})"), "left");
  EXPECT_EQ(quick(R"({"a":{"b":1,"c":2,"b":1}})"), "left");
  EXPECT_EQ(quick(R"({"a":{"b":{"a":1}},"b":[{"a":1},{"a":2}]})"),
            R"({"a":{"b":{"a":1}},"b":[{"a":1},{"a":2}]})");
  EXPECT_EQ(quick(R"({"abcdefgh1":1,"abcdefgh2":2,"abcdefgh1":3})"), "left");
}

// Names that the table's hash does not tell apart are still told apart.
TEST(CompactObject, NamesWithTheSameEndsAreDifferentNames) {
  std::string text = "{";
  for (int i = 0; i < 10; ++i)
    text += (i > 0 ? ",\"" : "\"") + ("beginning" + std::to_string(i)) + "and_the_end\":1";
  EXPECT_EQ(quick(text + "}"), text + "}");
  EXPECT_EQ(quick(text + ",\"beginning3and_the_end\":1}"), "left");
}

TEST(CompactObject, WhatItIsNotSureOfIsLeft) {
  for (const std::string payload : {"",
                                    " ",
                                    "[]",
                                    "1",
                                    "\"a\"",
                                    "null",
                                    "{",
                                    "{}x",
                                    "{} {}",
                                    R"({"a"})",
                                    R"({"a":})",
                                    R"({"a":1,})",
                                    R"({,"a":1})",
                                    R"({"a":[1,]})",
                                    R"({"a":[,1]})",
                                    R"({"a":1 "b":2})",
                                    R"({"a":01})",
                                    R"({"a":+1})",
                                    R"({"a":1.})",
                                    R"({"a":.5})",
                                    R"({"a":1e})",
                                    R"({"a":-})",
                                    R"({"a":truex})",
                                    R"({"a":nul})",
                                    R"({"a":1e999})",
                                    R"({"a":"\x"})",
                                    R"({"a":"\u12g4"})",
                                    R"({"a":"\ud800"})",
                                    R"({"a":"\u12)",
                                    R"({"a":"\)",
                                    R"({"a":"b)",
                                    R"({"a)",
                                    R"({"\n":1})",
                                    R"({a:1})",
                                    R"({"a":[1})",
                                    R"({"a":{"b":1]})",
                                    "{\"a\":\"\xff\"}",
                                    "{\"a\":\"\x01\"}",
                                    "{\"a\n\":1}"}) {
    EXPECT_EQ(quick(payload), "left") << shown(payload);
  }
  std::string deep = "{\"a\":" + std::string(kDepth - 1, '[') + std::string(kDepth - 1, ']') + "}";
  EXPECT_EQ(quick(deep), deep);
  deep = "{\"a\":[" + std::string(kDepth - 1, '[') + std::string(kDepth - 1, ']') + "]}";
  EXPECT_EQ(quick(deep), "left");
}

// Not a byte beyond what it was given is looked at: AddressSanitizer sees to that.
TEST(CompactObject, EveryTruncationIsLeft) {
  const std::string whole = R"({"key_one":{"b":[1,-2.5e3,{"c":"x\u00fc\n long text here"},[],{}],)"
                            R"("d":null},"e":[true,false,[[["f"]]]],"":"","g":123456})";
  ASSERT_EQ(quick(whole), whole);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(quick({exact.data(), exact.size()}), "left") << size;
  }
}

std::string with_keys(size_t first, size_t count) {
  std::string text = "{";
  for (size_t i = first; i < first + count; ++i)
    text += (i > first ? ",\"k" : "\"k") + std::to_string(i) + "\":" + std::to_string(i);
  return text + "}";
}

TEST(CompactObject, ManyKeysAreTakenUpToTheLimit) {
  CompactObject reader(kDepth);
  EXPECT_TRUE(reader.read(with_keys(0, CompactObject::kMaxKeys)));
  EXPECT_FALSE(reader.read(with_keys(0, CompactObject::kMaxKeys + 1)));
  EXPECT_TRUE(reader.read(with_keys(1000, CompactObject::kMaxKeys)));
  EXPECT_FALSE(reader.read(R"({"k1000":1,"x":2,"k1000":3})"));
  EXPECT_TRUE(reader.read(R"({"k1000":1,"x":2,"k1001":3})"));
}

// What is known of the payload before is no excuse for this one.
TEST(CompactObject, EachPayloadIsJudgedByItself) {
  CompactObject reader(kDepth);
  const auto taken = [&](std::string_view payload) { return reader.read(payload).has_value(); };
  EXPECT_TRUE(taken(R"({"a":1,"b":{"c":2},"d":3})"));
  EXPECT_TRUE(taken(R"({"a":1,"b":{"c":2},"d":3})"));
  EXPECT_TRUE(taken(R"({"a":1,"b":{"c":2}})"));
  EXPECT_FALSE(taken(R"({"a":1,"b":{"c":2},"d":3,"a":4})"));
  EXPECT_FALSE(taken(R"({"a":1,"b":{"c":2},"a":3})"));
  EXPECT_FALSE(taken(R"({"a":1,"b":{"c":2,"c":3}})"));
  EXPECT_FALSE(taken(R"({"a":1,"b":{"c":2},"b":3})"));
  EXPECT_TRUE(taken(R"({"b":1,"a":{"c":2},"d":3})"));
  EXPECT_TRUE(taken(R"({"b":1,"a":[{"c":2},{"c":2}],"d":3})"));
  EXPECT_TRUE(taken(R"({"b":1,"a":[{"c":2},{"c":2},{"c":3}],"d":3})"));
  EXPECT_FALSE(taken(R"({"b":1,"a":[{"c":2},{"c":2,"c":3}],"d":3})"));
  EXPECT_TRUE(taken(R"({"b":1,"a":[{"c":2},{"c":2}],"c":3})"));
  EXPECT_TRUE(taken("{}"));
  EXPECT_TRUE(taken(R"({ "b" : 1, "a": [{"c":2}]})"));
  EXPECT_FALSE(taken(R"({"b":1,"a")"));
  EXPECT_FALSE(taken(R"({"b":1,"a" 2})"));
}

// Against the reader that has the last word, on documents of all kinds with random damage.
TEST(CompactObject, NeverTakesOrChangesWhatJsonReaderWouldNot) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  const std::string rich =
      R"({"a":{"b":[1,-2.5e3,{"c":"x\u00fc\n"},[],{}],"d":null},"e":[true,false,[[["f"]]]],)"
      R"("":"","g":123456,"long_name_1":0.1,"long_name_2":1E+3,"s":"a longer text than eight"})";
  CompactObject reader(kDepth);
  Judge judge;
  int taken = 0;
  int left = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::string payload = damaged(rich, random() % 4, random);
    const auto object = reader.read(payload);
    const std::string judged = judge.read(payload);
    if (object) {
      ++taken;
      ASSERT_EQ(*object, judged) << shown(payload, 500);
    } else if (judged != "left") {
      ++left;
    }
  }
  EXPECT_GT(taken, 10'000) << "it is hardly ever of use";
  EXPECT_LT(left, taken / 10) << "it leaves what it should take";
}

TEST(HeldNumber, IsAWholeNumberThatADoubleHolds) {
  for (const std::string text : {"0", "-0", "7", "-12.50", "123456789012345678901234567890", "1e5",
                                 "0.1E-12", "1E+250", "-9.99e+99"}) {
    EXPECT_EQ(held_number(text), text.size()) << text;
    EXPECT_EQ(held_number(text + ","), text.size()) << text;
    const auto number = parse_number(text);
    EXPECT_TRUE(number && number->is_json && fits_double(text, *number)) << text;
  }
  for (const std::string text : {"", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "01", "-01", "x",
                                 "1e301", "1e999999999999999999999"}) {
    EXPECT_EQ(held_number(text), 0u) << text;
  }
  EXPECT_EQ(held_number(std::string(300, '9')), 300u);
  EXPECT_EQ(held_number(std::string(301, '9')), 0u);
  EXPECT_EQ(held_number("1" + std::string(100, '0') + "e200"), 0u);
}

}  // namespace
}  // namespace penstock::codec
