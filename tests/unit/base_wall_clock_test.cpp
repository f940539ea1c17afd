// Goal: a record says whether the clock was set when it came. Method: a clock that is told.
#include <gtest/gtest.h>

#include "agent/base/stepped_clock.h"
#include "agent/base/wall_clock.h"
#include "tests/support/temp_dir.h"

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

TEST(WallClock, IsAskedOnceASecondHoweverOftenSomebodyWantsToKnow) {
  int asked = 0;
  bool machine_says = false;
  MonoTime now{};
  const auto is_set = asked_rarely(
      [&](int64_t) {
        ++asked;
        return machine_says;
      },
      [&] { return now; });
  for (const bool says : {false, true, false}) {
    machine_says = says;
    EXPECT_EQ(is_set(kEarliestWallUs), says);
    machine_says = !says;
    now += Millis(999);
    EXPECT_EQ(is_set(kEarliestWallUs), says) << "the last answer";
    EXPECT_FALSE(is_set(kEarliestWallUs - 1)) << "it was set back meanwhile";
    now += Millis(1);
  }
  EXPECT_EQ(asked, 3);
}

// A gateway with chrony and no clock of its own.
class Stepped : public ::testing::Test {
 protected:
  static constexpr int64_t kSecond = 1'000'000;
  SteppedClock start(int64_t wall_us) {
    return SteppedClock(marker_, wall_us, [this](int64_t) { return machine_says_; });
  }
  const test::TempDir dir_{"stepped"};
  const std::filesystem::path marker_ = dir_.path() / "clock-was-set";
  const int64_t wall_us_ = kEarliestWallUs + 1000 * kSecond;
  bool machine_says_ = false;
};

TEST_F(Stepped, AClockThatGoesOnAsItDidIsNotSet) {
  auto clock = start(wall_us_);
  EXPECT_FALSE(clock.is_set(wall_us_));
  EXPECT_FALSE(clock.is_set(wall_us_ + kSecond)) << "slewed";
  EXPECT_FALSE(std::filesystem::exists(marker_));
  machine_says_ = true;
  EXPECT_TRUE(clock.is_set(wall_us_));
}

TEST_F(Stepped, AStepEitherWaySetsItForThisBoot) {
  for (const int64_t step : {int64_t{-100}, int64_t{86'400}}) {
    std::filesystem::remove(marker_);
    auto clock = start(wall_us_);
    EXPECT_TRUE(clock.is_set(wall_us_ + step * kSecond));
    EXPECT_TRUE(clock.is_set(wall_us_)) << "it was set";
    auto next_run = start(wall_us_ + step * kSecond);
    EXPECT_TRUE(next_run.is_set(wall_us_ + step * kSecond));
    std::filesystem::remove(marker_);  // as a boot does
    auto after_boot = start(wall_us_);
    EXPECT_FALSE(after_boot.is_set(wall_us_));
  }
}

TEST_F(Stepped, AStepToATimeBeforeThisProgramWasMadeSetsNothing) {
  auto clock = start(wall_us_);
  EXPECT_FALSE(clock.is_set(kEarliestWallUs - kSecond));
  auto without = SteppedClock({}, wall_us_, [](int64_t) { return false; });
  EXPECT_TRUE(without.is_set(wall_us_ + 10 * kSecond)) << "no place for a marker";
}

}  // namespace
}  // namespace penstock
