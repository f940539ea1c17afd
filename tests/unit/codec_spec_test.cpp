#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "agent/codec/encoder_spec.h"

namespace penstock::codec {
namespace {

TEST(CastWords, AreThoseOfTheConfiguration) {
  const std::vector<std::pair<std::string_view, Cast>> cases = {
      {"", Cast::kNone},           {"auto", Cast::kNone},
      {"string", Cast::kString},   {"boolean", Cast::kBoolean},
      {"int", Cast::kInt},         {"bigint", Cast::kBigint},
      {"float", Cast::kFloat},     {"double", Cast::kDouble},
      {"decimal", Cast::kDecimal}, {"timestamp", Cast::kTimestamp},
      {"date", Cast::kDate},       {"binary", Cast::kBinary},
      {"variant", Cast::kVariant},
  };
  for (const auto& [text, want] : cases) {
    const auto cast = parse_cast(text);
    ASSERT_TRUE(cast) << text;
    EXPECT_EQ(cast->cast, want) << text;
  }
  EXPECT_EQ(parse_cast("binary")->text, BinaryText::kAuto);
  EXPECT_EQ(parse_cast("binary(hex)")->text, BinaryText::kHex);
  EXPECT_EQ(parse_cast("binary(base64)")->text, BinaryText::kBase64);
}

TEST(CastWords, DecimalHasPrecisionAndScale) {
  const auto decimal = [](std::string_view text) {
    const auto cast = parse_cast(text);
    return cast ? std::make_pair(cast->precision, cast->scale) : std::make_pair(-1, -1);
  };
  EXPECT_EQ(decimal("decimal"), std::make_pair(10, 0));
  EXPECT_EQ(decimal("decimal(5)"), std::make_pair(5, 0));
  EXPECT_EQ(decimal("decimal(10,2)"), std::make_pair(10, 2));
  EXPECT_EQ(decimal("decimal(38, 38)"), std::make_pair(38, 38));
  for (const auto* bad : {"decimal(", "decimal()", "decimal(0)", "decimal(39)", "decimal(5,6)",
                          "decimal(5,)", "decimal(5,2", "decimal(5,2)x", "decimal(-5,2)",
                          "decimal(5,-2)", "decimal(100,2)", "decimal(5 ,2)"}) {
    const auto cast = parse_cast(bad);
    ASSERT_FALSE(cast) << bad;
    EXPECT_NE(cast.error().what.find("decimal(p,s)"), std::string::npos);
  }
}

TEST(CastWords, UnknownOnesListTheKnown) {
  const auto cast = parse_cast("Int");
  ASSERT_FALSE(cast);
  EXPECT_EQ(cast.error().kind, ErrorKind::kRejected);
  EXPECT_EQ(
      cast.error().what,
      "cast 'Int' is unknown; use one of: string, boolean, int, bigint, float, double, decimal, "
      "decimal(p,s), timestamp, date, binary, binary(base64), binary(hex), variant, auto");
}

TEST(CastWords, PlaceholdersOfTheListAreNotWords) { EXPECT_FALSE(parse_cast("decimal(p,s)")); }

TEST(OtherWords, AreThoseOfTheConfiguration) {
  EXPECT_EQ(*parse_payload_format("json"), PayloadFormat::kJson);
  EXPECT_EQ(*parse_payload_format("raw"), PayloadFormat::kRaw);
  EXPECT_FALSE(parse_payload_format("csv"));
  EXPECT_EQ(*parse_time_unit(""), TimeUnit::kAuto);
  EXPECT_EQ(*parse_time_unit("s"), TimeUnit::kSeconds);
  EXPECT_EQ(*parse_time_unit("ms"), TimeUnit::kMillis);
  EXPECT_EQ(*parse_time_unit("us"), TimeUnit::kMicros);
  EXPECT_EQ(*parse_time_unit("ns"), TimeUnit::kNanos);
  EXPECT_EQ(*parse_time_unit("iso"), TimeUnit::kIso);
  EXPECT_FALSE(parse_time_unit("sec"));
  EXPECT_EQ(*parse_on_error("reject"), OnError::kReject);
  EXPECT_EQ(*parse_on_error("null"), OnError::kNull);
  EXPECT_FALSE(parse_on_error(""));
  EXPECT_EQ(*parse_unknown_fields("reject"), UnknownFields::kReject);
  EXPECT_EQ(*parse_unknown_fields("ignore"), UnknownFields::kIgnore);
  EXPECT_EQ(*parse_unknown_fields("rescue"), UnknownFields::kRescue);
  EXPECT_FALSE(parse_unknown_fields("keep"));
}

}  // namespace
}  // namespace penstock::codec
