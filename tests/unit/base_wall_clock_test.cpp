// Goal: a record says whether the clock was set when it came. Method: a clock that is told.
#include <gtest/gtest.h>

#include "agent/base/wall_clock.h"

namespace penstock {
namespace {

Now at(int seconds) { return {MonoTime(std::chrono::seconds(seconds)), seconds * 1'000'000LL}; }

TEST(ClockTrust, AClockThatWasSetStaysSo) {
  bool is_set = false;
  ClockTrust trust([&](int64_t) { return is_set; });
  EXPECT_EQ(trust.at(at(10)), TimeQuality::kUnset);
  is_set = true;
  EXPECT_EQ(trust.at(at(11)), TimeQuality::kSet);
  is_set = false;
  EXPECT_EQ(trust.at(at(1000)), TimeQuality::kSet);
}

TEST(ClockTrust, AClockThatIsNotSetIsAskedOnceASecond) {
  int asked = 0;
  ClockTrust trust([&](int64_t) { return ++asked > 100; });
  for (int i = 0; i < 50; ++i) EXPECT_EQ(trust.at(at(10)), TimeQuality::kUnset);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(trust.at(at(11)), TimeQuality::kUnset);
  EXPECT_EQ(asked, 2);
}

TEST(WallClock, ATimeBeforeThisProgramWasMadeIsNotBelieved) {
  EXPECT_FALSE(wall_clock_is_set(0));
  EXPECT_FALSE(wall_clock_is_set(1'700'000'000'000'000));
}

}  // namespace
}  // namespace penstock
