// Numbers as a person reads them.
#include <limits>

#include <gtest/gtest.h>

#include "agent/cli/human.h"

namespace penstock::cli {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

TEST(TimeText, IsUtcToTheMillisecond) {
  EXPECT_EQ(time_text(0), "1970-01-01 00:00:00.000");
  EXPECT_EQ(time_text(1'795'310'433 * kSecondUs + 250'999), "2026-11-22 01:20:33.250");
  EXPECT_EQ(time_text(-1), "1969-12-31 23:59:59.999");
}

TEST(TimeText, GoesOnBehindTheEndOf32Bits) {
  EXPECT_EQ(time_text((int64_t{1} << 31) * kSecondUs), "2038-01-19 03:14:08.000");
  EXPECT_EQ(time_text((int64_t{1} << 32) * kSecondUs), "2106-02-07 06:28:16.000");
  EXPECT_EQ(time_text(253'402'300'799 * kSecondUs), "9999-12-31 23:59:59.000");
}

TEST(TimeText, WhatIsNoDateIsTheNumber) {
  EXPECT_EQ(time_text(253'402'300'800 * kSecondUs), "253402300800000000");
  constexpr auto kLowest = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(time_text(kLowest), std::to_string(kLowest));
}

}  // namespace
}  // namespace penstock::cli
