#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <simdjson.h>

#include "agent/base/text.h"
#include "agent/codec/json_reader.h"
#include "tests/unit/codec_json_damage.h"

namespace penstock::codec {
namespace {

constexpr size_t kDepth = 20;

std::vector<PathStep> path_of(const std::string& reference) {
  return Expression::parse("${payload" + reference + "}")->single()->path;
}

// What stands at `path` of `payload`: its JSON, "missing", or the error.
std::string at(std::string_view payload, const std::string& path) {
  PathTree paths;
  const size_t slot = paths.add(path_of(path));
  JsonReader reader(std::move(paths), kDepth);
  const auto read = reader.read(payload);
  if (!read) return "error: " + read.error().what;
  const JsonValue& value = reader.value(slot);
  return value.kind == JsonValue::Kind::kMissing ? "missing" : std::string(value.json);
}

TEST(JsonReader, FindsPaths) {
  const std::string_view payload =
      R"( { "a" : { "b" : [ 1 , {"c" : "x y"} , [ ] ] , "" : 0.10 } , "u\u00fc" : null , "t":true } )";
  const std::vector<std::pair<std::string, std::string_view>> cases = {
      {".a.b[0]", "1"},
      {".a.b[1].c", R"("x y")"},
      {".a.b[1]", R"({"c":"x y"})"},
      {".a.b[2]", "[]"},
      {".a.b[3]", "missing"},
      {".a.b", R"([1,{"c":"x y"},[]])"},
      {".a['']", "0.10"},
      {".u\xc3\xbc", "null"},
      {".t", "true"},
      {".a.b.c", "missing"},
      {".a[0]", "missing"},
      {".t.x", "missing"},
      {".nope", "missing"},
      {"", "{\"a\":{\"b\":[1,{\"c\":\"x y\"},[]],\"\":0.10},\"u\xc3\xbc\":null,\"t\":true}"},
  };
  for (const auto& [path, want] : cases) EXPECT_EQ(at(payload, path), want) << path;
}

TEST(JsonReader, OneWalkFindsPathsWithinPaths) {
  PathTree paths;
  const size_t inner = paths.add(path_of(".a.b"));
  const size_t outer = paths.add(path_of(".a"));
  const size_t whole = paths.add(path_of(""));
  EXPECT_EQ(paths.add(path_of(".a.b")), inner);
  EXPECT_EQ(paths.slots(), 3u);
  JsonReader reader(std::move(paths), kDepth);
  ASSERT_TRUE(reader.read(R"({"z":[{"a":1}],"a":{"c":1,"b":{"d":"e"}}})"));
  EXPECT_EQ(reader.value(inner).json, R"({"d":"e"})");
  EXPECT_EQ(reader.value(outer).json, R"({"c":1,"b":{"d":"e"}})");
  EXPECT_EQ(reader.value(whole).json, R"({"z":[{"a":1}],"a":{"c":1,"b":{"d":"e"}}})");
}

TEST(JsonReader, NothingOfAnEarlierPayloadShinesThrough) {
  PathTree paths;
  const size_t slot = paths.add(path_of(".a"));
  JsonReader reader(std::move(paths), kDepth);
  ASSERT_TRUE(reader.read(R"({"a":"a rather long value of the first payload"})"));
  ASSERT_TRUE(reader.read("{}"));
  EXPECT_EQ(reader.value(slot).kind, JsonValue::Kind::kMissing);
  ASSERT_FALSE(reader.read(R"({"a":1,)"));
  ASSERT_TRUE(reader.read(R"({"a":2})"));
  EXPECT_EQ(reader.value(slot).json, "2");
  reader.release_large_buffers();
  ASSERT_TRUE(reader.read(R"({"a":3})"));
  EXPECT_EQ(reader.value(slot).json, "3");
}

TEST(JsonReader, NumbersAndStringsKeepTheirSpelling) {
  for (const auto* token :
       {"123456789012345678901234567890", "0.1000", "1E+2", "-0", "-0.0e-0", "18446744073709551615",
        "3.14159265358979323846264338327950288", R"("\u00fc\/\ud83d\ude00")"}) {
    EXPECT_EQ(at(std::string("{\"v\": ") + token + " }", ".v"), token);
    EXPECT_EQ(at(std::string("{\"v\": [ ") + token + " ]}", ".v"), std::string("[") + token + "]");
    EXPECT_EQ(at(std::string("  ") + token + "\n", ""), token);
  }
}

TEST(JsonReader, DecodesStrings) {
  PathTree paths;
  const size_t slot = paths.add(path_of(".v"));
  JsonReader reader(std::move(paths), kDepth);
  ASSERT_TRUE(reader.read(R"({"v":"a\n\u00fc\ud83d\ude00"})"));
  EXPECT_EQ(reader.value(slot).kind, JsonValue::Kind::kString);
  EXPECT_EQ(reader.value(slot).text, "a\n\xc3\xbc\xf0\x9f\x98\x80");
}

TEST(JsonReader, RefusesWhatIsNotOneJsonValueAndSaysWhy) {
  const std::vector<std::pair<std::string, std::string_view>> cases = {
      {"", "is empty"},
      {" \n", "is empty"},
      {"{", "not valid JSON"},
      {"}", "not valid JSON"},
      {"{\"a\":1", "not valid JSON"},
      {"{\"a\":1,}", "not valid JSON"},
      {"{\"a\" 1}", "not valid JSON"},
      {"{\"a\":}", "not valid JSON"},
      {"{a:1}", "not valid JSON"},
      {"{'a':1}", "not valid JSON"},
      {"{1:1}", "not valid JSON"},
      {"[1 2]", "not valid JSON"},
      {"[1,]", "not valid JSON"},
      {"[,1]", "not valid JSON"},
      {"[1", "not valid JSON"},
      {"[}", "not valid JSON"},
      {"{\"a\":[1}]", "not valid JSON"},
      {"{\"a\":{\"b\":1}", "not valid JSON"},
      {"{\"a\":1}}", "more text behind"},
      {"{\"a\":1}{\"a\":2}", "more text behind"},
      {"{\"a\":1} x", "not valid JSON"},
      {"[1] [2]", "more text behind"},
      {"\"a\" \"b\"", "more text behind"},
      {"1 2", "'1 2', which is no JSON value"},
      {"truex", "which is no JSON value"},
      {"nul", "which is no JSON value"},
      {"hello", "not valid JSON"},
      {"{\"a\":tru}", "'tru', which is no JSON value"},
      {"{\"a\":nulll}", "'nulll', which is no JSON value"},
      {"{\"a\":01}", "'01', which is no JSON value"},
      {"{\"a\":1.}", "'1.', which is no JSON value"},
      {"{\"a\":-}", "'-', which is no JSON value"},
      {"{\"a\":+1}", "not valid JSON"},
      {"{\"a\":.5}", "not valid JSON"},
      {"{\"a\":NaN}", "not valid JSON"},
      {"{\"a\":-Infinity}", "'-Infinity', which is no JSON value"},
      {"{\"a\":1abc}", "'1abc', which is no JSON value"},
      {"{\"a\":\"x}", "a string is not closed"},
      {"{\"a\":\"\\x\"}", "bad escape"},
      {"{\"a\":\"\\ud800\"}", "bad escape"},
      {"{\"\\x\":1}", "bad escape"},
      {"{\"a\":\"x\ny\"}", "control character that is not escaped"},
      {"{\"a\":\"\xff\"}", "is not UTF-8 at offset 6"},
      {"{\"a\":\"\xed\xa0\x80\"}", "is not UTF-8 at offset 6"},
      {"\xef\xbb\xbf{}", "not valid JSON"},
  };
  for (const auto& [payload, want] : cases) {
    for (const auto* path : {".a", "", ".other"}) {
      const std::string got = at(payload, path);
      EXPECT_TRUE(got.starts_with("error: ")) << shown(payload) << " " << path << ": " << got;
      EXPECT_NE(got.find(want), std::string::npos) << shown(payload) << " " << path << ": " << got;
    }
  }
}

TEST(JsonReader, SaysAboutWhere) {
  EXPECT_NE(at(R"({"a":1,"b":tru,"c":2})", ".a").find("near offset 11"), std::string::npos)
      << at(R"({"a":1,"b":tru,"c":2})", ".a");
}

TEST(JsonReader, AKeyGivenTwiceIsRefusedWhereItMatters) {
  const std::string twice = "error: has the key 'a' twice";
  EXPECT_TRUE(at(R"({"a":1,"b":2,"a":1})", ".a").starts_with(twice));
  EXPECT_TRUE(at(R"({"a":1,"b":2,"\u0061":1})", ".a").starts_with(twice));
  EXPECT_TRUE(at(R"({"a":{"b":1},"a":{}})", ".a.b").starts_with(twice));
  EXPECT_TRUE(at(R"({"a":1,"b":2,"a":1})", "").starts_with(twice));
  EXPECT_TRUE(at(R"({"x":[{"a":1,"a":2}]})", ".x").starts_with(twice));
  EXPECT_TRUE(at(R"({"x":[{"a":1,"a":2}]})", "").starts_with(twice));
  EXPECT_EQ(at(R"({"a":1,"a":2,"b":3})", ".b"), "3");
  EXPECT_EQ(at(R"({"x":{"a":1},"a":{"a":2}})", ""), R"({"x":{"a":1},"a":{"a":2}})");
  EXPECT_EQ(at(R"([{"a":1},{"a":2}])", ""), R"([{"a":1},{"a":2}])");
}

TEST(JsonReader, NumbersNoDoubleHoldsDoNotPassInsideAnObject) {
  EXPECT_NE(at(R"({"a":1e999})", "").find("beyond the range of a double"), std::string::npos);
  EXPECT_EQ(at(R"({"a":1e999})", ".a"), "1e999");  // the column's cast decides
  EXPECT_EQ(at(R"({"a":1e999,"b":1})", ".b"), "1");
}

TEST(JsonReader, DepthIsLimited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  const auto objects = [](size_t depth) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) text += "{\"a\":";
    return text + "1" + std::string(depth, '}');
  };
  for (const auto* path : {"", ".x"}) {
    EXPECT_FALSE(at(nested(kDepth), path).starts_with("error"));
    EXPECT_FALSE(at(objects(kDepth), path).starts_with("error"));
    EXPECT_NE(at(nested(kDepth + 1), path).find("nested deeper than 20"), std::string::npos);
    EXPECT_NE(at(objects(kDepth + 1), path).find("nested deeper than 20"), std::string::npos);
    EXPECT_NE(at(std::string(1'000'000, '['), path).find("error"), std::string::npos);
    EXPECT_NE(at(nested(500'000), path).find("nested deeper than 20"), std::string::npos);
  }
}

// Valid JSON of all kinds, deep, wide and odd.
const std::string kRich =
    R"({"a":{"b":[1,-2.5e3,{"c":"x\u00fc\n"},[],{}],"d":null},"e":[true,false,[[["f"]]]],"":"","g":123456})";

// An independent verdict: simdjson's other parser, which checks everything at once.
bool dom_accepts(simdjson::dom::parser& parser, const std::string& payload) {
  simdjson::dom::element element;
  return parser.parse(payload).get(element) == simdjson::SUCCESS;
}

TEST(JsonReader, EveryTruncationIsRefused) {
  for (const auto* path : {"", ".a.b[2].c", ".none"}) {
    for (size_t size = 0; size < kRich.size(); ++size) {
      EXPECT_TRUE(at(kRich.substr(0, size), path).starts_with("error")) << size;
    }
    EXPECT_FALSE(at(kRich, path).starts_with("error"));
  }
}

TEST(JsonReader, AcceptsExactlyWhatAnIndependentParserAccepts) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  simdjson::dom::parser dom;
  PathTree paths;
  paths.add(path_of(".a.b[2].c"));
  paths.add({});
  JsonReader reader(std::move(paths), 100);
  int accepted = 0;
  for (int i = 0; i < 40'000; ++i) {
    const std::string payload = damaged(kRich, random() % 3 + 1, random);
    const auto read = reader.read(payload);
    if (!read && read.error().what.find("twice") != std::string::npos) continue;
    accepted += read.has_value();
    ASSERT_EQ(read.has_value(), dom_accepts(dom, payload))
        << shown(payload, 500) << (read ? " accepted" : " refused: " + read.error().what);
  }
  EXPECT_GT(accepted, 100);  // else the edits tell nothing
}

}  // namespace
}  // namespace penstock::codec
