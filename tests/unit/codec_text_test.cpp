// The small text formats below the casts: JSON strings, base64, hexadecimal, exact numbers, ISO
// 8601.
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <simdjson.h>

#include "agent/codec/binary_text.h"
#include "agent/codec/json_text.h"
#include "agent/codec/number_text.h"
#include "agent/codec/time_text.h"

namespace penstock::codec {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(text, out);
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out;
  append_base64(bytes, out);
  return out;
}

// A random text of characters from all over Unicode, with many that need escaping.
std::string random_text(std::mt19937_64& random) {
  std::string text;
  const size_t size = random() % 40;
  for (size_t i = 0; i < size; ++i) {
    switch (random() % 6) {
      case 0:
        text += static_cast<char>(random() % 0x20);
        break;
      case 1:
        text += "\"\\/\x7f"[random() % 4];
        break;
      case 2:
        text += "\xc3\xbc";
        break;
      case 3:
        text += "\xe2\x80\xa8";  // U+2028
        break;
      case 4:
        text += "\xf0\x9f\x98\x80";
        break;
      default:
        text += static_cast<char>('a' + random() % 26);
    }
  }
  return text;
}

TEST(JsonText, AnyTextComesBackFromAParserAsItWas) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  simdjson::dom::parser parser;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = random_text(random);
    const std::string json = "[" + json_string(text) + "]";
    std::string_view back;
    ASSERT_EQ(parser.parse(json).at(0).get_string().get(back), simdjson::SUCCESS) << json;
    ASSERT_EQ(back, text) << json;
  }
}

TEST(JsonText, EscapesWhatMustBeAndNothingElse) {
  EXPECT_EQ(json_string(""), R"("")");
  EXPECT_EQ(json_string("a/b\xc3\xbc"), "\"a/b\xc3\xbc\"");
  EXPECT_EQ(json_string("\"\\\n\r\t"), R"("\"\\\n\r\t")");
  EXPECT_EQ(json_string(std::string_view("\0\x1f", 2)), R"("\u0000\u001f")");
}

TEST(JsonText, TrimsWhiteSpaceOnly) {
  EXPECT_EQ(trimmed(" \t\r\n a b \n"), "a b");
  EXPECT_EQ(trimmed(""), "");
  EXPECT_EQ(trimmed(" \n"), "");
  EXPECT_EQ(trimmed("\f1"), "\f1");
}

TEST(Base64, FollowsTheExamplesOfRfc4648) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {{"", ""},
                                                                            {"f", "Zg=="},
                                                                            {"fo", "Zm8="},
                                                                            {"foo", "Zm9v"},
                                                                            {"foob", "Zm9vYg=="},
                                                                            {"fooba", "Zm9vYmE="},
                                                                            {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes) << text;
  }
  EXPECT_EQ(decode_base64("Zg"), "f");
  EXPECT_EQ(decode_base64("Zm8"), "fo");
}

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const auto* bad : {"Z", "Zg=", "Zg===", "=", "====", "Zm9v=", "Zm9vZ", "Zm 9", "Zm-_",
                          "Zh==", "Zm9=", "Z\xc3\xbcgg"}) {
    EXPECT_EQ(decode_base64(bad), std::nullopt) << bad;
  }
}

TEST(Base64, AnyBytesComeBack) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 50, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_EQ(decode_base64(base64(bytes)), bytes);
  }
}

TEST(Hex, ReadsPairsOfDigits) {
  EXPECT_EQ(decode_hex(""), "");
  EXPECT_EQ(decode_hex("00fFA1"), std::string("\0\xff\xa1", 3));
  for (const auto* bad : {"0", "0x", "0g", "0 1", "00 11", "\xc3\xbc"}) {
    EXPECT_EQ(decode_hex(bad), std::nullopt) << bad;
  }
}

TEST(NumberText, KnowsNumbers) {
  for (const auto* text :
       {"0", "-0", "1", "-12", "0.5", "1e3", "1E+3", "1.25e-300", "9999999999999999999999"}) {
    const auto number = parse_number(text);
    ASSERT_TRUE(number) << text;
    EXPECT_TRUE(number->is_json) << text;
  }
  for (const auto* text : {"+1", "007", "-00.5", "+0.5e1", "00"}) {
    const auto number = parse_number(text);
    ASSERT_TRUE(number) << text;
    EXPECT_FALSE(number->is_json) << text;
  }
  for (const auto* text :
       {"",   "-",   "+",    ".5",  "5.",  "1e",       "1e+", "1.e1",  "--1",   "+-1", "1 ",
        " 1", "1,5", "0x10", "NaN", "nan", "Infinity", "inf", "1_000", "1e5.5", "e5"}) {
    EXPECT_FALSE(parse_number(text)) << text;
  }
}

std::string scaled(std::string_view text, int shift) {
  const auto result = scaled_integer(*parse_number(text), shift);
  return result ? std::to_string(result->value) + (result->exact ? "" : "~") : "none";
}

TEST(NumberText, ScalesWithoutRounding) {
  struct Case {
    std::string_view text;
    int shift;
    std::string_view want;
  };
  const std::vector<Case> cases = {
      {"0", 0, "0"},
      {"-0", 6, "0"},
      {"0e999999999999", 0, "0"},
      {"0.000e-99999999999", 0, "0"},
      {"12", 0, "12"},
      {"12", 3, "12000"},
      {"-12", 3, "-12000"},
      {"12345", -3, "12~"},
      {"-12345", -3, "-13~"},
      {"12000", -3, "12"},
      {"1.5", 0, "1~"},
      {"-1.5", 0, "-2~"},
      {"-0.5", 0, "-1~"},
      {"0.5", 0, "0~"},
      {"1.0", 0, "1"},
      {"1e3", 0, "1000"},
      {"1500e-3", 0, "1~"},
      {"15e-1", 1, "15"},
      {"1700000000.123456", 6, "1700000000123456"},
      {"1700000000.1234567", 6, "1700000000123456~"},
      {"0.1", 6, "100000"},
      {"9223372036854775807", 0, "9223372036854775807"},
      {"-9223372036854775808", 0, "-9223372036854775808"},
      {"9223372036854775808", 0, "none"},
      {"-9223372036854775809", 0, "none"},
      {"-9223372036854775808.5", 0, "none"},
      {"9223372036854775807.5", 0, "9223372036854775807~"},
      {"18446744073709551616", 0, "none"},
      {"99999999999999999999999999", 0, "none"},
      {"1e19", 0, "none"},
      {"1e999999999999999999999", 0, "none"},
      {"1e-999999999999999999999", 0, "0~"},
      {"922337203685477581", 1, "none"},
      {"000000000000000000000000000012", 0, "12"},
  };
  for (const auto& each : cases) EXPECT_EQ(scaled(each.text, each.shift), each.want) << each.text;
}

TEST(NumberText, KnowsWhatAFloatingPointNumberHolds) {
  const auto fits = [](std::string_view text) {
    const auto number = *parse_number(text);
    return std::string(fits_double(text, number) ? "d" : "") +
           (fits_float(text, number) ? "f" : "");
  };
  EXPECT_EQ(fits("1"), "df");
  EXPECT_EQ(fits("-1.5e3"), "df");
  EXPECT_EQ(fits("3.4e38"), "df");
  EXPECT_EQ(fits("3.5e38"), "d");
  EXPECT_EQ(fits("-3.5e38"), "d");
  EXPECT_EQ(fits("1.7e308"), "d");
  EXPECT_EQ(fits("1.8e308"), "");
  EXPECT_EQ(fits("1e400"), "");
  EXPECT_EQ(fits("1e-400"), "df");  // held as 0
  EXPECT_EQ(fits("0e999999999999"), "df");
  EXPECT_EQ(fits("0.0000000000000000001e330"), "");
  EXPECT_EQ(fits("+1e10"), "df");
  EXPECT_EQ(fits(std::string(310, '9')), "");
  EXPECT_EQ(fits("0." + std::string(1000, '9')), "df");
}

TEST(NumberText, BecomesJsonWithTheSameDigits) {
  const auto json = [](std::string_view text) {
    std::string out;
    append_json_number(text, *parse_number(text), out);
    return out;
  };
  EXPECT_EQ(json("1.50e+03"), "1.50e+03");
  EXPECT_EQ(json("-0"), "-0");
  EXPECT_EQ(json("+0012.50"), "12.50");
  EXPECT_EQ(json("-007e2"), "-7e2");
  EXPECT_EQ(json("000"), "0");
  EXPECT_EQ(json("-00.5"), "-0.5");
}

std::string decimal(std::string_view text, int precision, int scale) {
  std::string out;
  return append_decimal(*parse_number(text), precision, scale, out) ? out : "refused" + out;
}

TEST(NumberText, BecomesADecimalOnlyWhenItFits) {
  struct Case {
    std::string_view text;
    int precision;
    int scale;
    std::string_view want;
  };
  const std::vector<Case> cases = {
      {"1.5", 10, 2, "1.5"},
      {"1.50", 10, 1, "1.5"},
      {"1.55", 10, 1, "refused"},
      {"-0.05", 2, 2, "-0.05"},
      {"0.005", 2, 2, "refused"},
      {"12345678.9", 10, 2, "12345678.9"},
      {"123456789", 10, 2, "refused"},
      {"99999999.99", 10, 2, "99999999.99"},
      {"1.5e2", 10, 0, "150"},
      {"1.5e1", 10, 0, "15"},
      {"1.5e0", 10, 0, "refused"},
      {"1e-2", 3, 2, "0.01"},
      {"0", 1, 0, "0"},
      {"-0.00", 1, 0, "0"},
      {"0e99999999999", 1, 0, "0"},
      {"1e99999999999", 38, 0, "refused"},
      {"1e-99999999999", 38, 38, "refused"},
      {"000.10", 1, 1, "0.1"},
      {"1", 1, 1, "refused"},
      {"100", 3, 0, "100"},
      {"1000", 3, 0, "refused"},
      {"99999999999999999999999999999999999999", 38, 0, "99999999999999999999999999999999999999"},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(decimal(each.text, each.precision, each.scale), each.want) << each.text;
  }
}

TEST(TimeText, ReadsInstants) {
  const std::vector<std::pair<std::string_view, int64_t>> cases = {
      {"1970-01-01T00:00:00Z", 0},
      {"1969-12-31T23:59:59.999999Z", -1},
      {"2024-05-01T12:30:00Z", 1'714'566'600'000'000},
      {"2024-05-01T14:30:00+02:00", 1'714'566'600'000'000},
      {"2024-05-01T14:30:00+0200", 1'714'566'600'000'000},
      {"2024-05-01T14:30+02", 1'714'566'600'000'000},
      {"2024-05-01 07:00:00-05:30", 1'714'566'600'000'000},
      {"2024-05-01t12:30:00z", 1'714'566'600'000'000},
      {"2024-05-01T12:30:00.25Z", 1'714'566'600'250'000},
      {"2024-05-01T12:30:00,25Z", 1'714'566'600'250'000},
      {"2024-05-01T12:30:00.123456999Z", 1'714'566'600'123'456},
      {"2016-12-31T23:59:60Z", 1'483'228'800'000'000},
      {"2024-02-29T00:00:00Z", 1'709'164'800'000'000},
      {"0001-01-01T00:00:00Z", kMinTimestampUs},
      {"9999-12-31T23:59:59.999999Z", kMaxTimestampUs},
  };
  for (const auto& [text, want] : cases) EXPECT_EQ(parse_iso_timestamp(text), want) << text;
}

TEST(TimeText, RefusesWhatIsNoInstant) {
  for (const auto* text : {"",
                           "2024",
                           "2024-05-01",
                           "2024-05-01T12:30:00",
                           "2024-05-01T12:30:00 Z",
                           "2024-05-01T12Z",
                           "2024-05-01T24:00:00Z",
                           "2024-05-01T12:60:00Z",
                           "2024-05-01T12:30:61Z",
                           "2024-13-01T00:00:00Z",
                           "2023-02-29T00:00:00Z",
                           "2024-04-31T00:00:00Z",
                           "2024-00-01T00:00:00Z",
                           "2024-05-00T00:00:00Z",
                           "0000-01-01T00:00:00Z",
                           "24-05-01T12:30:00Z",
                           "2024-5-1T12:30:00Z",
                           "2024-05-01T12:30:00.Z",
                           "2024-05-01T12:30:00+24:00",
                           "2024-05-01T12:30:00+02:60",
                           "2024-05-01T12:30:00+2",
                           "2024-05-01T12:30:00+02:",
                           "2024-05-01T12:30:00Zx",
                           "2024-05-01T12:30:00+02:00x",
                           "2024/05/01T12:30:00Z",
                           "1714566600",
                           "9999-12-31T23:59:59.999999-01:00",
                           "0001-01-01T00:00:00+01:00",
                           "12024-05-01T12:30:00Z"}) {
    EXPECT_EQ(parse_iso_timestamp(text), std::nullopt) << text;
  }
}

TEST(TimeText, ReadsDates) {
  EXPECT_EQ(parse_iso_date("1970-01-01"), 0);
  EXPECT_EQ(parse_iso_date("1969-12-31"), -1);
  EXPECT_EQ(parse_iso_date("2024-05-01"), 19844);
  EXPECT_EQ(parse_iso_date("2024-05-01T00:00:00Z"), std::nullopt);
  EXPECT_EQ(parse_iso_date("2024-02-30"), std::nullopt);
  EXPECT_EQ(parse_iso_date("2024-05-1"), std::nullopt);
}

TEST(TimeText, EveryTruncationIsReadOrRefused) {
  const std::string_view text = "2024-05-01T12:30:00.123456+02:00";
  for (size_t size = 0; size < text.size(); ++size) {
    const auto instant = parse_iso_timestamp(text.substr(0, size));
    // Cutting the minutes or all of the offset's colon leaves a time; cutting into it does not.
    EXPECT_EQ(instant.has_value(), size == text.size() - 3) << size;
  }
}

}  // namespace
}  // namespace penstock::codec
