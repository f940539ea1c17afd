// The decisions at the limits as tables: states, shares, verdicts, ages.
#include <functional>

#include <gtest/gtest.h>

#include "agent/spool/age.h"
#include "agent/spool/ledger.h"
#include "agent/spool/retention.h"

namespace penstock::spool {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

Fill filled(uint64_t percent, std::optional<uint64_t> free = {}, uint64_t min_free = 0) {
  return {percent * kMiB, 100 * kMiB, free, min_free, false};
}

TEST(SpoolStates, FollowTheShareInUseAndLeaveALittleBelowWhereTheyBegan) {
  using S = SpoolState;
  const struct {
    uint64_t percent;
    S before, now;
  } table[] = {
      {0, S::kGreen, S::kGreen},    {79, S::kGreen, S::kGreen}, {80, S::kGreen, S::kYellow},
      {94, S::kYellow, S::kYellow}, {95, S::kYellow, S::kRed},  {100, S::kGreen, S::kRed},
      {94, S::kRed, S::kRed},       {92, S::kRed, S::kYellow},  {79, S::kYellow, S::kYellow},
      {77, S::kYellow, S::kGreen},  {10, S::kRed, S::kGreen},   {79, S::kRed, S::kYellow},
      {50, S::kDiskLow, S::kGreen}, {97, S::kDiskLow, S::kRed},
  };
  for (const auto& row : table) {
    EXPECT_EQ(state_of(filled(row.percent), row.before), row.now)
        << row.percent << " % after " << to_string(row.before);
  }
}

TEST(SpoolStates, TheDiskComesFirst) {
  using S = SpoolState;
  EXPECT_EQ(state_of(filled(1, 99, 100), S::kGreen), S::kDiskLow);
  EXPECT_EQ(state_of(filled(99, 99, 100), S::kRed), S::kDiskLow);
  EXPECT_EQ(state_of(filled(1, 100, 100), S::kGreen), S::kGreen);
  EXPECT_EQ(state_of(filled(1, 6400, 6400), S::kDiskLow), S::kDiskLow) << "it would flicker";
  EXPECT_EQ(state_of(filled(1, 6500, 6400), S::kDiskLow), S::kGreen);
  EXPECT_EQ(state_of(filled(1, 0, 0), S::kGreen), S::kGreen) << "nothing is to be left free";
  Fill refused = filled(1, 1 << 30, 100);
  refused.disk_refused = true;
  EXPECT_EQ(state_of(refused, S::kGreen), S::kDiskLow);
}

std::vector<uint64_t> shares_of(const std::vector<uint64_t>& uses, uint64_t quota,
                                SpoolState state = SpoolState::kGreen) {
  std::vector<LaneUse> lanes;
  uint64_t used = 0;
  for (const uint64_t use : uses) {
    lanes.push_back({use * kMiB, {}});
    used += use;
  }
  auto out = shares(lanes, quota * kMiB, (quota - std::min(quota, used)) * kMiB, state);
  for (auto& share : out) share /= kMiB;
  return out;
}

TEST(SpoolShares, AreHalfTheRoomDividedByTheLanesOverThem) {
  EXPECT_EQ(shares_of({0, 0, 0}, 1000).front(), 500U);
  EXPECT_EQ(shares_of({400, 1, 0}, 1000).front(), 500U) << "nobody is over it";
  EXPECT_EQ(shares_of({500, 1, 0}, 1000).front(), 499U) << "never more than what is free";
  EXPECT_EQ(shares_of({300, 300, 1}, 1000).front(), 250U) << "two are over 250";
  EXPECT_EQ(shares_of({200, 200, 200, 0}, 1000).front(), 166U) << "three are over 166";
  EXPECT_EQ(shares_of({10, 0}, 6).front(), 4U) << "at least 4 MB";
  EXPECT_EQ(shares_of({98}, 100, SpoolState::kRed).front(), 2U) << "but in red";
}

// Whoever fills up first, the next one still finds room: P6 over any number of dead tables.
TEST(SpoolShares, LanesThatFillUpOneAfterTheOtherLeaveRoomForTheNext) {
  const uint64_t quota = 1 << 20;  // in MiB
  std::vector<uint64_t> uses(12, 0);
  for (auto& use : uses) {
    for (;;) {
      const auto now = shares_of(uses, quota);
      if (use > 0 && use >= now[static_cast<size_t>(&use - uses.data())]) break;
      use += std::max<uint64_t>(1, quota / 4096);
    }
    uint64_t sum = 0;
    for (const uint64_t one : uses) sum += one;
    EXPECT_LT(sum, quota);
    EXPECT_GT(use, 0U);
  }
}

TEST(SpoolShares, AConfiguredShareIsWhatItSays) {
  const std::vector<LaneUse> lanes{{90 * kMiB, 40.0}, {1 * kMiB, {}}, {60 * kMiB, 100.0}};
  const auto now = shares(lanes, 200 * kMiB, 49 * kMiB, SpoolState::kRed);
  EXPECT_EQ(now[0], 80 * kMiB);
  EXPECT_EQ(now[2], 200 * kMiB);
  EXPECT_EQ(now[1], 49 * kMiB) << "the others' half is not divided by lanes that have their own";
}

TEST(SpoolUpkeep, WithoutRoomOnlyWhatGivesMoreThanItTakesGoesOn) {
  for (const auto what :
       {Upkeep::kMove, Upkeep::kCarry, Upkeep::kRemove, Upkeep::kSpare, Upkeep::kShrink}) {
    EXPECT_TRUE(may_go_on(what, false, 100, 0));
    EXPECT_EQ(may_go_on(what, true, 1, 100), what == Upkeep::kRemove || what == Upkeep::kCarry);
    EXPECT_EQ(may_go_on(what, true, 100, 100), what == Upkeep::kRemove);
  }
  EXPECT_TRUE(may_go_on(Upkeep::kCarry, true, 0, 1));
}

TEST(SpoolAdmission, OnlyALaneOverItsShareIsHeldOrRefused) {
  using P = OverflowPolicy;
  using A = Admission;
  const struct {
    P policy;
    uint64_t use, share;
    bool full;
    A verdict;
  } table[] = {
      {P::kBlock, 9, 10, false, A::kTake},       {P::kBlock, 10, 10, false, A::kBlock},
      {P::kBlock, 0, 0, false, A::kTake},        {P::kBlock, 9, 10, true, A::kTake},
      {P::kDropOldest, 99, 10, true, A::kTake},  {P::kDropNewest, 9, 10, false, A::kTake},
      {P::kDropNewest, 10, 10, false, A::kDrop}, {P::kDropNewest, 1, 10, true, A::kDrop},
      {P::kDropNewest, 0, 0, false, A::kTake},
  };
  for (const auto& row : table) {
    EXPECT_EQ(admission(row.policy, row.use, row.share, row.full), row.verdict)
        << static_cast<int>(row.policy) << " " << row.use << " of " << row.share;
  }
}

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kWall = 1'800'000'000 * kSecond;

ClockReading reading(std::string boot, int64_t boot_s, int64_t wall_s, bool is_set = true) {
  return {std::move(boot), boot_s * kSecond, kWall + wall_s * kSecond, is_set};
}
int64_t seconds(std::optional<std::chrono::microseconds> age) {
  return age ? age->count() / kSecond : -1;
}

TEST(SpoolAge, IsMonotonicWithinABootHoweverTheClockJumps) {
  AgeClock ages;
  EXPECT_TRUE(ages.observe(1, reading("a", 100, 0)));
  EXPECT_FALSE(ages.observe(2, reading("a", 110, 10))) << "nothing has changed";
  EXPECT_EQ(seconds(ages.age(1, kWall + 5 * kSecond, reading("a", 165, 100'000))), 60);
  // The clock was set an hour forward: later segments carry the new time.
  const auto mark = ages.observe(3, reading("a", 170, 3670));
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->first_segment, 3);
  EXPECT_EQ(seconds(ages.age(3, kWall + 3670 * kSecond, reading("a", 180, 0))), 10);
  EXPECT_EQ(seconds(ages.age(2, kWall + 10 * kSecond, reading("a", 180, 0))), 70);
}

TEST(SpoolAge, AcrossBootsIsByCorrectedClocks) {
  AgeClock ages;
  ages.observe(1, reading("a", 100, 0));
  ages.observe(5, reading("a", 200, 3700));  // an hour was missing in boot a
  ages.observe(9, reading("b", 10, 4000));
  EXPECT_EQ(seconds(ages.age(1, kWall, reading("b", 110, 4100))), 4100 - 3600);
  EXPECT_EQ(seconds(ages.age(5, kWall + 3700 * kSecond, reading("b", 110, 4100))), 400);
  EXPECT_EQ(seconds(ages.age(9, kWall + 4000 * kSecond, reading("b", 110, 4100))), 100);
  EXPECT_EQ(seconds(ages.age(5, kWall + 3700 * kSecond, reading("b", 110, 9, false))), -1)
      << "the clock of this boot is not set yet";
}

TEST(SpoolAge, WhatWasTakenBeforeTheClockWasSetHasNone) {
  AgeClock ages;
  ages.observe(1, reading("a", 1, -1'000'000'000, false));
  ages.observe(2, reading("a", 2, 0));
  const auto later = reading("a", 100'000, 100'000);
  EXPECT_EQ(seconds(ages.age(1, kWall - 1'000'000'000 * kSecond, later)), -1);
  EXPECT_EQ(seconds(ages.age(2, kWall, later)), 99'998);
  EXPECT_EQ(seconds(ages.age(0, kWall, later)), -1) << "older than any mark";
}

TEST(SpoolAge, MarksOfSegmentsThatAreNumberedAnewAreForgotten) {
  AgeClock ages({{1, "a", 0, true}, {500, "a", 7, false}});
  const auto mark = ages.observe(1, {"a", 0, 0, true});
  ASSERT_TRUE(mark);
  EXPECT_EQ(ages.marks(), (std::vector<ClockMark>{{1, "a", 0, true}}));
}

TEST(SpoolLedger, FatesThatFollowEachOtherAreOneRowUnlessItIsBeingWritten) {
  Ledger ledger;
  const LaneId lane = ledger.lane({"r", "t"});
  for (Seq seq = 1; seq <= 100; ++seq) ledger.accept(lane, seq);
  ledger.committed(lane, 100);
  const auto drop = [&](Seq first, Seq last, FateKind kind) {
    ledger.decide(lane, {first, last}, kind, 0, "x");
  };
  drop(1, 5, FateKind::kDroppedOverflow);
  drop(6, 9, FateKind::kDroppedOverflow);
  drop(10, 10, FateKind::kDroppedAge);
  drop(12, 12, FateKind::kDroppedAge);
  EXPECT_EQ(ledger.plan_fates().size(), 3U);
  drop(13, 20, FateKind::kDroppedAge);
  EXPECT_EQ(ledger.plan_fates().size(), 4U);
  drop(3, 30, FateKind::kDamaged);
  EXPECT_EQ(ledger.state(lane).cursor, 30U);
  const LaneState state = ledger.state(lane);
  EXPECT_EQ(state.dropped_overflow, 9U);
  EXPECT_EQ(state.dropped_age, 10U);
  EXPECT_EQ(state.damaged, 11U);
  EXPECT_EQ(state.delivered(), 0U);
  EXPECT_EQ(ledger.row(lane, false, true).cursor, 0U) << "not without its fates";
}

TEST(SpoolLedger, ALaneWithAFateDecidedWhileItsRowIsWrittenStaysDirty) {
  Ledger ledger;
  const LaneId lane = ledger.lane({"r", "t"});
  for (Seq seq = 1; seq <= 9; ++seq) ledger.accept(lane, seq);
  ledger.committed(lane, 9);
  const auto write = [&](const std::function<void()>& meanwhile) {
    const LaneRow row = ledger.row(lane, true, true);
    const size_t quarantine = ledger.pending_quarantine().size();
    const size_t fates = ledger.plan_fates().size();
    meanwhile();
    ledger.written_pending(quarantine, fates);
    ledger.written(row, false);
  };
  ledger.acknowledge(lane, 1);
  write([&] { ledger.quarantine({lane, 5, 0, "x", nullptr}); });
  EXPECT_TRUE(ledger.dirty().contains(lane));
  write([&] { ledger.decide(lane, {7, 7}, FateKind::kDroppedAge, 0, "x"); });
  EXPECT_TRUE(ledger.dirty().contains(lane));
  write([] {});
  EXPECT_FALSE(ledger.has_unwritten());
}

}  // namespace
}  // namespace penstock::spool
