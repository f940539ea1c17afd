#include <gtest/gtest.h>

#include "agent/config/units.h"

namespace penstock::config {
namespace {

template <class T>
std::string outcome(const Result<T>& result) {
  if (!result) return result.error().what;
  if constexpr (std::is_same_v<T, Millis>) {
    return std::to_string(result->count());
  } else {
    return std::to_string(*result);
  }
}

struct Row {
  std::string_view text;
  std::string expected;  // the number, or what is wrong
};

TEST(ConfigUnits, SizesAreBytes) {
  for (const auto& [text, expected] : std::vector<Row>{
           {"0B", "0"},
           {"1B", "1"},
           {"64KiB", "65536"},
           {"48MiB", "50331648"},
           {"2GiB", "2147483648"},
           {"1TiB", "1099511627776"},
           {"3kB", "3000"},
           {"10MB", "10000000"},
           {"1GB", "1000000000"},
           {"1TB", "1000000000000"},
           {"9223372036854775807B", "9223372036854775807"},
           {"9223372036854775808B", "is too large"},
           {"8388608TiB", "is too large"},
           {"99999999999999999999B", "is too large"},
           {"64", "has no unit"},
           {"0", "has no unit"},
           {"", "does not start with a whole number"},
           {"KiB", "does not start with a whole number"},
           {"-1KiB", "does not start with a whole number"},
           {" 1KiB", "does not start with a whole number"},
           {"1.5GiB", "is not a whole number of a unit"},
           {"64 KiB", "has a space before its unit"},
           {"64kib", "has an unknown unit"},
           {"64K", "has an unknown unit"},
           {"64KiBx", "has an unknown unit"},
           {"5ms", "has an unknown unit"},
       }) {
    EXPECT_EQ(outcome(parse_size(text)), expected) << text;
  }
}

TEST(ConfigUnits, DurationsAreMilliseconds) {
  for (const auto& [text, expected] : std::vector<Row>{
           {"0ms", "0"},
           {"5ms", "5"},
           {"10s", "10000"},
           {"15m", "900000"},
           {"2h", "7200000"},
           {"7d", "604800000"},
           {"106751991167d", "9223372036828800000"},
           {"106751991168d", "is too large"},
           {"5", "has no unit"},
           {"5M", "has an unknown unit"},
           {"5min", "has an unknown unit"},
           {"1.5s", "is not a whole number of a unit"},
           {"1h30m", "has an unknown unit"},
           {"ms", "does not start with a whole number"},
       }) {
    EXPECT_EQ(outcome(parse_duration(text)), expected) << text;
  }
}

TEST(ConfigUnits, SharesAreHundredths) {
  for (const auto& [text, expected] : std::vector<Row>{
           {"5%", "5.000000"},
           {"0%", "0.000000"},
           {"100%", "100.000000"},
           {"12.5%", "12.500000"},
           {"0.25%", "0.250000"},
           {"100.01%", "is more than 100 %"},
           {"101%", "is more than 100 %"},
           {"1000000000000%", "is more than 100 %"},
           {"5", "has no unit"},
           {"5.%", "has not one or two decimals"},
           {"5.125%", "has not one or two decimals"},
           {"%", "does not start with a number"},
           {"-5%", "does not start with a number"},
           {"5 %", "has an unknown unit"},
       }) {
    EXPECT_EQ(outcome(parse_percent(text)), expected) << text;
  }
}

TEST(ConfigUnits, IntegersAreDecimal) {
  for (const auto& [text, expected] : std::vector<Row>{
           {"0", "0"},
           {"-7", "-7"},
           {"+7", "7"},
           {"9223372036854775807", "9223372036854775807"},
           {"9223372036854775808", "is too large"},
           {"", "is not a whole number"},
           {"+", "is not a whole number"},
           {"0x10", "is not a whole number"},
           {"1e3", "is not a whole number"},
           {"1_000", "is not a whole number"},
           {"1 ", "is not a whole number"},
       }) {
    EXPECT_EQ(outcome(parse_integer(text)), expected) << text;
  }
}

TEST(ConfigUnits, NumbersAreShownInTheLargestExactUnit) {
  EXPECT_EQ(format_size(65536), "64KiB");
  EXPECT_EQ(format_size(uint64_t{3} << 30), "3GiB");
  EXPECT_EQ(format_size(10'000'000), "10MB");
  EXPECT_EQ(format_size(1'023), "1023B");
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(format_duration(Millis(90'000)), "90s");
  EXPECT_EQ(format_duration(Millis(3'600'000)), "1h");
  EXPECT_EQ(format_duration(Millis(0)), "0ms");
}

}  // namespace
}  // namespace penstock::config
