#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "agent/codec/cast.h"

namespace penstock::codec {
namespace {

Value boolean(std::string_view text) { return {Value::Kind::kBoolean, text, {}}; }
Value number(std::string_view text) { return {Value::Kind::kNumber, text, {}}; }
Value text(std::string_view text) { return {Value::Kind::kText, text, {}}; }
Value json(std::string_view text) { return {Value::Kind::kJson, text, {}}; }
Value document(std::string_view text) { return {Value::Kind::kDocument, text, {}}; }
Value bytes(std::string_view text) { return {Value::Kind::kBytes, text, {}}; }

// The JSON the cast gives, or "refused: " and why.
std::string cast(const Value& value, std::string_view as, std::string_view unit = "") {
  std::string out;
  const auto done = append_cast(value, *parse_cast(as), *parse_time_unit(unit), out);
  return done ? out : "refused: " + done.error().what;
}

struct Case {
  Value value;
  std::string_view as;
  std::string_view want;  // "refused" stands for any refusal
};

void check(const std::vector<Case>& cases) {
  for (const auto& each : cases) {
    const std::string got = cast(each.value, each.as);
    if (each.want == "refused") {
      EXPECT_TRUE(got.starts_with("refused: is "))
          << each.value.text << " as " << each.as << ": " << got;
    } else {
      EXPECT_EQ(got, each.want) << each.value.text << " as " << each.as;
    }
  }
}

TEST(Cast, MissingAndNullAreNullUnderEveryCast) {
  for (const auto* as : {"", "string", "boolean", "int", "bigint", "float", "double",
                         "decimal(5,2)", "timestamp", "date", "binary", "variant"}) {
    EXPECT_EQ(cast({}, as), "null") << as;
    EXPECT_EQ(cast({Value::Kind::kNull, {}, {}}, as), "null") << as;
  }
}

TEST(Cast, WithoutCastTheTypeStays) {
  check({{boolean("true"), "", "true"},
         {number("12345678901234567890123"), "", "12345678901234567890123"},
         {number("1.500"), "", "1.500"},
         {number("1e999"), "", "refused"},
         {text("a\"b"), "", R"("a\"b")"},
         {{Value::Kind::kText, "\xc3\xbc", R"("\u00fc")"}, "", R"("\u00fc")"},
         {text(""), "", R"("")"},
         {text("\xff"), "", "refused"},
         {json("[1,2]"), "", "[1,2]"},
         {document("{ }\n"), "", R"("{ }\n")"},
         {bytes("abc"), "", R"("abc")"},
         {bytes("a\xff"), "", "refused"}});
}

TEST(Cast, StringTakesEverythingThatIsText) {
  check({{boolean("false"), "string", R"("false")"},
         {number("1.500"), "string", R"("1.500")"},
         {number("1e999"), "string", R"("1e999")"},
         {text("x"), "string", R"("x")"},
         {json(R"({"a":"b"})"), "string", R"("{\"a\":\"b\"}")"},
         {bytes("\xff"), "string", "refused"}});
  EXPECT_NE(cast(bytes("\xff\xfe"), "string").find("use `as: binary`"), std::string::npos);
}

TEST(Cast, BooleanIsTrueOrFalseAndNothingElse) {
  check({{boolean("true"), "boolean", "true"},
         {text("false"), "boolean", "false"},
         {bytes("true\r\n"), "boolean", "true"},
         {text("True"), "boolean", "refused"},
         {text("1"), "boolean", "refused"},
         {number("1"), "boolean", "refused"},
         {number("0"), "boolean", "refused"},
         {text(""), "boolean", "refused"},
         {json("[true]"), "boolean", "refused"}});
}

TEST(Cast, WholeNumbersAreCheckedAgainstTheirRange) {
  check({{number("0"), "int", "0"},
         {number("-0"), "int", "0"},
         {number("2147483647"), "int", "2147483647"},
         {number("2147483648"), "int", "refused"},
         {number("-2147483648"), "int", "-2147483648"},
         {number("-2147483649"), "int", "refused"},
         {number("2147483648"), "bigint", "2147483648"},
         {number("9223372036854775807"), "bigint", "9223372036854775807"},
         {number("9223372036854775808"), "bigint", "refused"},
         {number("-9223372036854775808"), "bigint", "-9223372036854775808"},
         {number("-9223372036854775809"), "bigint", "refused"},
         {number("9007199254740993"), "bigint", "9007199254740993"},
         {number("3.0"), "int", "3"},
         {number("3e2"), "int", "300"},
         {number("3.5"), "int", "refused"},
         {number("1e-1"), "int", "refused"},
         {text("42"), "int", "42"},
         {text(" +0042 \n"), "int", "42"},
         {text("42x"), "int", "refused"},
         {text(""), "int", "refused"},
         {text("0x2a"), "int", "refused"},
         {bytes("17\r\n"), "int", "17"},
         {boolean("true"), "int", "refused"},
         {json("[1]"), "int", "refused"}});
}

TEST(Cast, RealNumbersKeepTheirDigits) {
  check({{number("0.1"), "double", "0.1"},
         {number("1.0000000000000000000001"), "double", "1.0000000000000000000001"},
         {number("1E5"), "double", "1E5"},
         {number("1e308"), "double", "1e308"},
         {number("1e309"), "double", "refused"},
         {number("-1e309"), "double", "refused"},
         {number("1e-400"), "double", "1e-400"},
         {number("3.4e38"), "float", "3.4e38"},
         {number("3.5e38"), "float", "refused"},
         {number("3.5e38"), "double", "3.5e38"},
         {text("+0012.50"), "double", "12.50"},
         {text("-007"), "float", "-7"},
         {text("nan"), "double", "refused"},
         {text("NaN"), "double", "refused"},
         {text("Infinity"), "double", "refused"},
         {text("1,5"), "double", "refused"},
         {text("12 kg"), "double", "refused"},
         {boolean("true"), "double", "refused"},
         {json("{}"), "double", "refused"}});
}

TEST(Cast, DecimalsAreRefusedRatherThanRounded) {
  check({{number("12.50"), "decimal(10,2)", R"("12.5")"},
         {number("12.345"), "decimal(10,2)", "refused"},
         {number("-0.01"), "decimal(10,2)", R"("-0.01")"},
         {number("1.5e3"), "decimal(4,0)", R"("1500")"},
         {number("12345"), "decimal(4,0)", "refused"},
         {number("123"), "decimal(4,2)", "refused"},
         {text("0099.9"), "decimal(3,1)", R"("99.9")"},
         {text("abc"), "decimal(3,1)", "refused"},
         {boolean("true"), "decimal(3,1)", "refused"}});
  EXPECT_NE(cast(number("12.345"), "decimal(10,2)").find("at most 8 digits before and 2 after"),
            std::string::npos);
}

struct TimeCase {
  Value value;
  std::string_view unit;
  std::string_view want;
};

void check_times(std::string_view as, const std::vector<TimeCase>& cases) {
  for (const auto& each : cases) {
    const std::string got = cast(each.value, as, each.unit);
    if (each.want == "refused") {
      EXPECT_TRUE(got.starts_with("refused: is "))
          << each.value.text << " " << each.unit << ": " << got;
    } else {
      EXPECT_EQ(got, each.want) << each.value.text << " as " << as << " " << each.unit;
    }
  }
}

TEST(Cast, TimestampsBecomeMicroseconds) {
  check_times("timestamp",
              {
                  {number("1714566600000000"), "", "1714566600000000"},
                  {number("1714566600"), "s", "1714566600000000"},
                  {number("1714566600123"), "ms", "1714566600123000"},
                  {number("1714566600123456"), "us", "1714566600123456"},
                  {number("1714566600123456789"), "ns", "1714566600123456"},
                  {number("-1"), "ns", "-1"},  // cut off towards the past, not towards zero
                  {number("1714566600.123456"), "s", "1714566600123456"},
                  {number("1714566600123.4567"), "ms", "1714566600123456"},
                  {number("1.7145666e9"), "s", "1714566600000000"},
                  {number("0"), "s", "0"},
                  {number("-62135596800"), "s", "-62135596800000000"},
                  {number("-62135596801"), "s", "refused"},
                  {number("253402300799.999999"), "s", "253402300799999999"},
                  {number("253402300800"), "s", "refused"},
                  {number("1714566600123"), "s", "refused"},  // milliseconds taken for seconds
                  {number("99999999999999999999"), "s", "refused"},
                  {number("1e300"), "ns", "refused"},
                  {text("1714566600"), "s", "1714566600000000"},
                  {text("2024-05-01T12:30:00Z"), "", "1714566600000000"},
                  {text(" 2024-05-01T14:30:00+02:00\n"), "iso", "1714566600000000"},
                  {text("2024-05-01T12:30:00"), "", "refused"},
                  {text("2024-05-01"), "", "refused"},
                  {text("1714566600"), "", "refused"},
                  {text("2024-05-01T12:30:00Z"), "ms", "refused"},
                  {number("1714566600"), "iso", "refused"},
                  {boolean("true"), "s", "refused"},
                  {json("[]"), "", "refused"},
              });
  EXPECT_NE(cast(text("2024-05-01T12:30:00"), "timestamp").find("with Z or an offset"),
            std::string::npos);
  EXPECT_NE(cast(number("1714566600123"), "timestamp", "s").find("is `unit` right?"),
            std::string::npos);
}

TEST(Cast, DatesBecomeDays) {
  check_times("date",
              {
                  {text("2024-05-01"), "", "19844"},
                  {text("1969-12-31"), "", "-1"},
                  {text("2024-05-01T23:30:00-02:00"), "", "19845"},  // the day in UTC
                  {text("2024-05-01"), "iso", "19844"},
                  {text("2024-02-30"), "", "refused"},
                  {number("19844"), "", "19844"},
                  {number("19844.5"), "", "refused"},
                  {number("1714566600"), "", "refused"},  // beyond year 9999 when taken as days
                  {number("1714566600"), "s", "19844"},
                  {number("-1"), "s", "-1"},
                  {number("-86400"), "s", "-1"},
                  {number("-86401"), "s", "-2"},
                  {number("1714566600123"), "ms", "19844"},
                  {text("1714566600123"), "ms", "19844"},
                  {number("19844"), "iso", "refused"},
                  {boolean("true"), "", "refused"},
              });
}

TEST(Cast, BinaryReadsWhatTheTextSaysAndPayloadsAsTheyAre) {
  check({{text("Zm9vYg=="), "binary", R"("Zm9vYg==")"},
         {text("Zm9vYg"), "binary", R"("Zm9vYg==")"},
         {text("Zm9v\n"), "binary(base64)", R"("Zm9v")"},
         {text("666f6F"), "binary(hex)", R"("Zm9v")"},
         {text("not base64"), "binary", "refused"},
         {text("66 6f"), "binary(hex)", "refused"},
         {text(""), "binary", R"("")"},
         {bytes(std::string_view("\x00\xff\x10", 3)), "binary", R"("AP8Q")"},
         {bytes(""), "binary", R"("")"},
         {bytes("666f6f\r\n"), "binary(hex)", R"("Zm9v")"},
         {bytes("Zm9v"), "binary(base64)", R"("Zm9v")"},
         {bytes("Zm9v"), "binary", R"("Wm05dg==")"},
         {document("{}"), "binary", R"("e30=")"},
         {number("1"), "binary", "refused"},
         {boolean("true"), "binary", "refused"},
         {json("[1]"), "binary", "refused"}});
}

TEST(Cast, VariantHoldsTheJsonText) {
  check({{json(R"({"a":"b"})"), "variant", R"("{\"a\":\"b\"}")"},
         {number("1.50"), "variant", R"("1.50")"},
         {number("1e308"), "variant", R"("1e308")"},
         {number("1e309"), "variant", "refused"},
         {number("-1e999"), "variant", "refused"},
         {boolean("true"), "variant", R"("true")"},
         {text("a\"b"), "variant", R"("\"a\\\"b\"")"},
         {document(R"({"a": 1})"), "variant", R"("{\"a\": 1}")"},
         {bytes("abc"), "variant", R"("\"abc\"")"},
         {bytes("\xff"), "variant", "refused"}});
}

TEST(Cast, ReasonsAreShortAndPrintable) {
  const std::string reason = cast(text(std::string(100'000, 'x') + "\n"), "int");
  EXPECT_LT(reason.size(), 200u);
  EXPECT_EQ(cast(text("a\nb"), "int"), "refused: is 'a\\x0ab', expected a whole number in 32 bits");
}

}  // namespace
}  // namespace penstock::codec
