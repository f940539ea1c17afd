// Limits at work: shares, overflow policies, ages, the quarantine's quota, and the ledger over all
// of it.
#include <atomic>

#include "agent/spool/database.h"
#include "agent/spool/store.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr size_t kRecord = 20'000;

class SpoolQuota : public LimitedSpool {
 protected:
  SpoolQuota() { options_.other_lanes = {}; }
  // As a kill -9 would leave it: a copy of the files of the running spool.
  void crash() {
    ASSERT_TRUE(spool_->flush());
    const TempDir copy;
    copy_database(options_.dir, copy.path());
    close();
    copy_database(copy.path(), options_.dir);
    open();
  }
  // One record as intake would put it: asked for first. False when it was not taken.
  bool offer(LaneId lane, size_t size = kRecord) {
    switch (spool_->admit(lane)) {
      case Admission::kBlock:
        return false;
      case Admission::kDrop:
        spool_->turned_away(lane, 1);
        return true;
      case Admission::kTake:
        feeder_->put(lane, 1, size);
        EXPECT_TRUE(spool_->flush());
        return true;
    }
    return false;
  }
  std::filesystem::path file() const { return options_.dir / "1.db"; }
};

// P6: the sources of a full lane wait; those of its neighbour do not notice.
TEST_F(SpoolQuota, ALaneOverItsShareIsHeldAndItsNeighbourGoesOn) {
  open();
  const LaneId dead = spool_->lane({"dead", "t"});
  const LaneId alive = spool_->lane({"alive", "t"});
  int taken = 0;
  while (offer(dead)) ASSERT_LT(++taken, 1000) << "never held";
  EXPECT_TRUE(spool_->state(dead).over_share);
  const uint64_t held = spool_->state(dead).stored_bytes;
  EXPECT_LE(held, spool_->counters().quota_bytes / 2 + 2 * kRecord);
  EXPECT_GE(held, std::min<uint64_t>(4 << 20, spool_->counters().quota_bytes / 2 - 2 * kRecord));
  for (int i = 0; i < 400; ++i) {
    ASSERT_TRUE(offer(alive)) << "record " << i << " of the neighbour was held";
    if (i % 10 == 9) spool_->acknowledge(alive, static_cast<Seq>(i) + 1);
  }
  EXPECT_EQ(watcher_->rooms(), 0) << "the dead lane has no room";
  EXPECT_EQ(spool_->state(dead).dropped(), 0U);
  // Once it delivers, its sources hear of it, though nothing more is committed.
  spool_->acknowledge(dead, static_cast<Seq>(taken));
  EXPECT_TRUE(watcher_->wait([](Watcher& w) { return w.rooms_ >= 1; }));
  EXPECT_TRUE(offer(dead));
  EXPECT_FALSE(spool_->state(dead).over_share);
}

TEST_F(SpoolQuota, DropOldestKeepsTheNewestAndCountsTheRest) {
  options_.policies["r"] = {OverflowPolicy::kDropOldest, 25.0, {}};
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const LaneId other = spool_->lane({"other", "t"});
  ASSERT_TRUE(offer(other));
  const uint64_t share = spool_->counters().quota_bytes / 4;
  for (int i = 1; i <= 350; ++i) {
    ASSERT_TRUE(offer(lane)) << i;
    EXPECT_LE(spool_->state(lane).stored_bytes, share + 4 * kRecord) << i;
  }
  const LaneState before = spool_->state(lane);
  EXPECT_GT(before.dropped_overflow, 100U);
  EXPECT_EQ(before.cursor, before.dropped_overflow) << "the oldest, and the cursor passes them";
  EXPECT_EQ(before.dropped_age, 0U);
  expect_balanced(before);
  const auto held = read_all(*spool_, lane, before.cursor + 1);
  EXPECT_EQ(held.size(), before.pending());
  EXPECT_EQ(held.rbegin()->second, Feeder::body(lane, 350, kRecord));
  EXPECT_EQ(spool_->state(other).pending(), 1U) << "nobody else pays";
  crash();
  const LaneState after = spool_->state(lane);
  EXPECT_EQ(after.dropped_overflow, before.dropped_overflow);
  EXPECT_EQ(after.cursor, before.cursor);
  EXPECT_EQ(read_all(*spool_, lane, after.cursor + 1), held);
  close();
  EXPECT_EQ(query(file(), "SELECT lane, first_seq, last_seq, kind, reason FROM fate"),
            std::vector<std::string>{"1|1|" + std::to_string(before.cursor) + "|3|overflow"})
      << "one row, however often";
}

TEST_F(SpoolQuota, WhatIsOnItsWayIsNotDropped) {
  options_.policies["r"] = {OverflowPolicy::kDropOldest, 25.0, {}};
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(offer(lane));
  const auto sent = read_now(*spool_, lane, 3);
  ASSERT_TRUE(sent && *sent);
  const Seq on_its_way = (*sent)->last();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(offer(lane));
  LaneState state = spool_->state(lane);
  EXPECT_EQ(state.cursor, 0U);
  EXPECT_EQ(read_all(*spool_, lane).begin()->first, 1U);
  EXPECT_FALSE(spool_->decided(lane, {1, on_its_way}));
  EXPECT_TRUE(spool_->decided(lane, {on_its_way + 1, on_its_way + 100}));
  crash();
  // The stream is lost, sending begins again at the first record: now they may go.
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(offer(lane));
  state = spool_->state(lane);
  EXPECT_GT(state.cursor, on_its_way);
  EXPECT_EQ(state.delivered(), 0U);
  expect_balanced(state);
  // And with an acknowledgement in between they are delivered, not dropped.
  const Seq first = read_now(*spool_, lane, state.cursor + 1).value()->first();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(offer(lane));
  spool_->acknowledge(lane, first);
  EXPECT_EQ(spool_->state(lane).delivered(), 1U);
  expect_balanced(spool_->state(lane));
}

TEST_F(SpoolQuota, DropNewestRefusesBeforeTheCommitAndCounts) {
  options_.policies["r"] = {OverflowPolicy::kDropNewest, 25.0, {}};
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  constexpr uint64_t kOffered = 500;
  for (uint64_t i = 0; i < kOffered; ++i) ASSERT_TRUE(offer(lane));
  const LaneState state = spool_->state(lane);
  EXPECT_GT(state.refused, 100U);
  EXPECT_EQ(state.refused + state.next_seq - 1, kOffered);
  EXPECT_EQ(state.dropped(), 0U);
  EXPECT_EQ(read_all(*spool_, lane).size(), state.pending());
  for (int time = 0; time < 2; ++time) {
    reopen();
    EXPECT_EQ(spool_->state(lane).refused, state.refused);
  }
}

// A lane that may be dropped yields when others, within their own shares, have filled the spool.
TEST_F(SpoolQuota, AFullSpoolTakesRoomFromTheLanesThatMayBeDropped) {
  options_.other_lanes.max_share_percent = 100;
  options_.policies["cheap"] = {OverflowPolicy::kDropOldest, 100.0, {}};
  open();
  const LaneId cheap = spool_->lane({"cheap", "t"});
  const LaneId dear = spool_->lane({"dear", "t"});
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(offer(cheap));
  const auto quota = spool_->counters().quota_bytes;
  int taken = 0;
  while (spool_->state(dear).stored_bytes + (1 << 20) < quota * 8 / 10) {
    ASSERT_TRUE(offer(dear));
    ASSERT_LT(++taken, 2000);
  }
  EXPECT_EQ(spool_->state(dear).pending(), static_cast<uint64_t>(taken));
  EXPECT_GT(spool_->state(cheap).dropped_overflow, 0U);
  expect_balanced(spool_->state(cheap));
}

TEST_F(SpoolQuota, StatesAreShownAndFollowTheFill) {
  options_.other_lanes.max_share_percent = 100;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  EXPECT_EQ(spool_->counters().state, SpoolState::kGreen);
  std::vector<SpoolState> seen{SpoolState::kGreen};
  for (int i = 0; i < 2000 && seen.back() != SpoolState::kRed; ++i) {
    ASSERT_TRUE(offer(lane));
    const auto now = spool_->counters().state;
    if (now != seen.back()) seen.push_back(now);
  }
  EXPECT_EQ(seen,
            (std::vector<SpoolState>{SpoolState::kGreen, SpoolState::kYellow, SpoolState::kRed}));
  reopen();
  EXPECT_EQ(spool_->counters().state, SpoolState::kRed);
  spool_->acknowledge(lane, spool_->state(lane).next_seq - 1);
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kGreen; }));
}

TEST_F(SpoolQuota, BelowMinFreeTheStateSaysSo) {
  options_.min_free_bytes = uint64_t{1} << 60;
  open();
  feeder_->put(spool_->lane({"r", "t"}), 1);
  EXPECT_FALSE(spool_->flush());
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kDiskLow; }));
}

TEST_F(SpoolQuota, RecordsExpireByMonotonicTimeThoughNothingElseHappens) {
  options_.policies["r"] = {OverflowPolicy::kBlock, {}, Millis(20'000)};
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const LaneId keeps = spool_->lane({"other", "t"});
  const auto put = [&](LaneId to) {
    auto records = feeder_->take(to, 1);
    records[0].received_at_us = clock_.now().wall_us;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  };
  put(lane);
  put(keeps);
  clock_.pass(10);
  put(lane);
  clock_.pass(11);
  ASSERT_TRUE(eventually([&] { return spool_->state(lane).dropped_age == 1; }));
  EXPECT_EQ(spool_->state(lane).cursor, 1U);
  expect_balanced(spool_->state(lane));
  EXPECT_EQ(spool_->state(keeps).pending(), 1U);
  clock_.change([](ClockReading& clock) {  // it jumps ahead by a year
    clock.wall_us += int64_t{365} * 86400 * HandClock::kSecondUs;
  });
  put(lane);
  crash();
  EXPECT_EQ(spool_->state(lane).dropped_age, 1U) << "nothing has become older";
  EXPECT_EQ(spool_->state(lane).pending(), 2U);
  clock_.change([](ClockReading& clock) {
    clock.boot = "boot-b";
    clock.boot_us = 0;
    clock.wall_us += 5 * HandClock::kSecondUs;
  });
  reopen();  // corrected time: 11 s + 5 s for the second record, 5 s for the third
  EXPECT_EQ(spool_->state(lane).pending(), 2U);
  clock_.pass(6);
  EXPECT_TRUE(eventually([&] { return spool_->state(lane).dropped_age == 2; }));
  EXPECT_EQ(spool_->state(lane).pending(), 1U);
  close();
  EXPECT_EQ(query(file(), "SELECT first_seq, last_seq, kind, reason FROM fate"),
            std::vector<std::string>{"1|2|3|age"});
}

// A card that lay for weeks is imported, a quarantine replayed: to drop that on arrival, for the
// limits of its route, would undo what a person has done.
TEST_F(SpoolQuota, WhatAPersonHasBroughtBackIsNotDroppedByTheLimitsOfItsRoute) {
  options_.policies["r"] = {OverflowPolicy::kDropOldest, 1.0, Millis(20'000)};
  open();
  const LaneId own = spool_->lane({"r", "t"});
  const LaneId others[] = {spool_->lane({"r@gw/0f/3", "t"}), spool_->lane({"r@replay/1", "t"})};
  const auto put = [&](LaneId to) {
    auto records = feeder_->take(to, 1, kRecord);
    records[0].received_at_us = clock_.now().wall_us;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  };
  for (int i = 0; i < 40; ++i) {
    for (const LaneId lane : {others[0], others[1], own}) put(lane);
  }
  EXPECT_GT(spool_->state(own).dropped_overflow, 0U);
  clock_.pass(21);
  ASSERT_TRUE(eventually([&] { return spool_->state(own).pending() == 0; }));
  EXPECT_GT(spool_->state(own).dropped_age, 0U);
  for (const LaneId lane : others) {
    EXPECT_EQ(spool_->state(lane).dropped(), 0U);
    EXPECT_EQ(spool_->state(lane).pending(), 40U);
  }
}

TEST_F(SpoolQuota, RecordsTakenBeforeTheClockWasSetDoNotExpire) {
  options_.policies["r"] = {OverflowPolicy::kBlock, {}, Millis(20'000)};
  clock_.change([](ClockReading& clock) { clock.is_set = false; });
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 1);
  ASSERT_TRUE(spool_->flush());
  clock_.change([](ClockReading& clock) { clock.is_set = true; });
  auto records = feeder_->take(lane, 1);
  records[0].received_at_us = clock_.now().wall_us;
  ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  ASSERT_TRUE(spool_->flush());
  clock_.pass(60);
  EXPECT_TRUE(eventually([&] { return spool_->decided(lane, {2, 2}); }));
  crash();
  EXPECT_TRUE(spool_->decided(lane, {2, 2}));
  EXPECT_FALSE(spool_->decided(lane, {1, 1}));
  EXPECT_EQ(spool_->state(lane).cursor, 0U);
  EXPECT_EQ(spool_->state(lane).dropped(), 0U) << "counted once the cursor has passed it";
  spool_->acknowledge(lane, 1);
  EXPECT_EQ(spool_->state(lane).dropped_age, 1U);
  expect_balanced(spool_->state(lane));
}

// No silent loss: what does not fit into the quarantine stays where it is, and its lane waits.
TEST_F(SpoolQuota, AFullQuarantineHoldsTheLaneAndNoOther) {
  options_.quarantine_bytes = 3 * kRecord;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const LaneId other = spool_->lane({"o", "t"});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(offer(lane));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(offer(other));
  for (Seq seq = 1; seq <= 3; ++seq) {
    spool_->quarantine(lane, seq, "poison");
    spool_->acknowledge(lane, seq);
    ASSERT_TRUE(spool_->flush());
  }
  EXPECT_GE(spool_->counters().quarantine_bytes, options_.quarantine_bytes);
  spool_->quarantine(lane, 4, "poison");
  spool_->acknowledge(lane, 4);
  ASSERT_TRUE(spool_->flush());
  std::atomic<int> answered{0};
  for (int time = 0; time < 2; ++time)  // it has lost its stream in between
    spool_->read(lane, 5, [&](const Result<SegmentPtr>&) { ++answered; });
  ASSERT_TRUE(read_now(*spool_, other, 1)) << "others are read";
  spool_->acknowledge(other, 3);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(answered, 0) << "the lane holds";
  EXPECT_TRUE(spool_->holds(lane));
  EXPECT_FALSE(spool_->holds(other));
  EXPECT_EQ(spool_->admit(kUnroutedLane), Admission::kBlock);
  EXPECT_EQ(spool_->admit(other), Admission::kTake);
  close();
  EXPECT_EQ(answered, 1) << "told that the spool stops, and asked for once";
  EXPECT_EQ(query(file(), "SELECT count(*) FROM quarantine").at(0), "3");
  EXPECT_EQ(query(file(), "SELECT cursor FROM lane_state WHERE lane=1").at(0), "3");
  query(file(), "DELETE FROM quarantine WHERE seq<3");
  open();
  EXPECT_EQ(spool_->state(lane).cursor, 3U) << "the fourth is still to be sent or quarantined";
  EXPECT_EQ(spool_->state(lane).quarantined, 3U);
  EXPECT_EQ(spool_->state(other).delivered(), 3U);
  EXPECT_EQ(spool_->admit(kUnroutedLane), Admission::kTake) << "a person has made room";
  spool_->quarantine(lane, 4, "poison");
  spool_->acknowledge(lane, 4);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(lane).quarantined, 4U);
}

// Nothing that is acknowledged makes room in the quarantine: cursors go on riding on commits of
// records, one a second.
TEST_F(SpoolQuota, AFullQuarantineDoesNotHastenAcknowledgements) {
  options_.quarantine_bytes = kRecord;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  ASSERT_TRUE(offer(lane));
  feeder_->refuse(kUnroutedLane, "no route", kRecord);
  ASSERT_TRUE(spool_->flush());
  ASSERT_EQ(spool_->admit(kUnroutedLane), Admission::kBlock);
  const auto written_cursor = [&] {
    const TempDir copy;
    copy_database(options_.dir, copy.path());
    return std::stoull(
        query(copy.path() / "1.db", "SELECT cursor FROM lane_state WHERE lane=1").at(0));
  };
  const bool waits = eventually([&] {  // where this takes less than a second
    const Seq last = spool_->state(lane).next_seq - 1;
    spool_->acknowledge(lane, last);
    feeder_->put(lane, 1, 50);
    EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
    return written_cursor() < last;
  });
  EXPECT_TRUE(waits) << "each is written at once";
}

// The table of fates is bounded though drops and deliveries take turns; lane_state has the counts.
TEST(SpoolFates, OldRangesBelowTheCursorAreForgotten) {
  const TempDir dir;
  const Sizing sizing = sizing_for(8 << 20);
  auto db = open_database(dir.path() / "1.db", sizing, Log::none());
  ASSERT_TRUE(db);
  auto store = Store::make(std::move(*db), sizing);
  ASSERT_TRUE(store);
  const auto write = [&](Seq first, Seq last, Seq cursor, FateKind kind) {
    Transaction transaction;
    transaction.fates.push_back(
        {1, {first, last}, kind, 0, kind == FateKind::kDroppedAge ? "age" : "x"});
    LaneRow row{1, {"r", "t"}, cursor, 1'000'000};
    transaction.lanes.push_back(std::move(row));
    ASSERT_TRUE(store->apply(transaction));
  };
  const auto count = [&] {
    return *store->connection().number("SELECT count(*) FROM fate WHERE reason='x' AND kind=3");
  };
  write(1, 1, 1, FateKind::kDamaged);
  Transaction many;
  for (Seq seq = 10; seq < 10'000; seq += 5)
    many.fates.push_back({1, {seq, seq}, FateKind::kDroppedOverflow, 0, "x"});
  ASSERT_TRUE(store->apply(many));
  EXPECT_EQ(count(), 1998) << "none is below the cursor yet";
  write(10'001, 10'001, 10'001, FateKind::kDroppedOverflow);
  EXPECT_EQ(count(), 1001);
  write(10'002, 20'000, 20'000, FateKind::kDroppedOverflow);
  write(20'001, 20'002, 20'002, FateKind::kDroppedAge);
  EXPECT_EQ(count(), 1000);
  EXPECT_EQ(*store->connection().number("SELECT max(last_seq) FROM fate WHERE reason='x'"), 20'000)
      << "a range that goes on is one row";
  EXPECT_EQ(*store->connection().number("SELECT count(*) FROM fate WHERE kind=1"), 1)
      << "what says that a segment is damaged stays";
}

}  // namespace
}  // namespace penstock::spool::testing
