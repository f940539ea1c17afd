// Limits across a roll: shares, drops, ages and the second ledger when a lane's records are in two
// files, of which the older one is only read.
#include <cerrno>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_sites.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr size_t kRecord = 20'000;

class LimitsRoll : public LimitedSpool {
 protected:
  ~LimitsRoll() override { spool_.reset(); }

  // A record taken now, durable on return.
  void put(LaneId lane, size_t size = kRecord) {
    auto records = feeder_->take(lane, 1, size);
    records[0].received_at_us = clock_.now().wall_us;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }
  // The next commit, which this makes, goes to a new file.
  void roll(LaneId lane) {
    const auto rolls = spool_->counters().rolls;
    vfs_.fail_sync_of(std::to_string(++file_) + ".db-wal");
    ASSERT_NO_FATAL_FAILURE(put(lane, 50));
    ASSERT_EQ(spool_->counters().rolls, rolls + 1);
  }
  void set_clock(bool is_set) {
    clock_.change([&](ClockReading& clock) {
      clock.is_set = is_set;
      clock.wall_us = (is_set ? 1'800'000'000 : 1) * HandClock::kSecondUs;
    });
  }
  bool has_only_one_file() {
    return eventually([&] { return spool_->counters().older_files == 0; });
  }

  FaultVfs vfs_;
  int file_ = 0;  // the last one given up
};

// What was taken before the clock was set has no age, wherever it is moved to.
TEST_F(LimitsRoll, ARecordThatIsMovedToTheNextFileKeepsItsAge) {
  options_.policies["ages"] = {OverflowPolicy::kBlock, {}, Millis(20'000)};
  set_clock(false);
  open();
  const LaneId lane = spool_->lane({"ages", "t"});
  const LaneId other = spool_->lane({"other", "t"});
  put(lane);
  set_clock(true);
  ASSERT_NO_FATAL_FAILURE(roll(other));
  put(lane);
  ASSERT_TRUE(has_only_one_file()) << "the first record is moved, the first file removed";
  EXPECT_EQ(read_all(*spool_, lane).size(), 2U);
  spool_->rewound(lane, 1);
  clock_.pass(60);
  ASSERT_TRUE(eventually([&] { return spool_->decided(lane, {2, 2}); }));
  EXPECT_FALSE(spool_->decided(lane, {1, 1}));
  reopen();
  put(lane);
  clock_.pass(60);
  ASSERT_TRUE(eventually([&] { return spool_->decided(lane, {3, 3}); }));
  EXPECT_FALSE(spool_->decided(lane, {1, 1})) << "nor after a restart";
  EXPECT_EQ(spool_->state(lane).cursor, 0U);
}

// The marks of the old file are in the new one, by which its records go on growing older.
TEST_F(LimitsRoll, RecordsInAnOldFileExpireAfterARestartToo) {
  options_.policies["ages"] = {OverflowPolicy::kBlock, {}, Millis(20'000)};
  set_clock(false);
  open();
  const LaneId lane = spool_->lane({"ages", "t"});
  const LaneId other = spool_->lane({"other", "t"});
  const LaneId ageless = spool_->lane({"ages", "ageless"});
  put(ageless);
  set_clock(true);
  put(ageless);
  put(lane);
  for (int i = 0; i < 80; ++i) put(other);  // keeps the old file
  ASSERT_NO_FATAL_FAILURE(roll(other));
  EXPECT_EQ(spool_->counters().older_files, 1U);
  reopen();
  EXPECT_EQ(spool_->state(lane).pending(), 1U);
  clock_.pass(21);
  ASSERT_TRUE(eventually([&] { return spool_->state(lane).dropped_age == 1; }));
  expect_balanced(spool_->state(lane));
  ASSERT_TRUE(eventually([&] { return spool_->decided(ageless, {2, 2}); }));
  ASSERT_TRUE(spool_->flush());
  reopen();
  EXPECT_EQ(spool_->state(lane).dropped_age, 1U);
  EXPECT_EQ(spool_->state(other).pending(), 81U);
  const auto held = read_all(*spool_, ageless);
  ASSERT_EQ(held.size(), 1U) << "the bytes of the second are still there, but they are nobody's";
  EXPECT_EQ(held.begin()->first, 1U);
}

// A drop is a row in the new file; the old one still has the bytes and is not asked any more.
TEST_F(LimitsRoll, WhatWasDroppedFromAnOldFileStaysDropped) {
  options_.policies["cheap"] = {OverflowPolicy::kDropOldest, 20.0, {}};
  open();
  const LaneId lane = spool_->lane({"cheap", "t"});
  const LaneId other = spool_->lane({"other", "t"});
  const uint64_t share = spool_->counters().quota_bytes / 5;
  for (int i = 0; i < 60; ++i) put(other);
  for (int i = 0; i < 100; ++i) put(lane);
  ASSERT_NO_FATAL_FAILURE(roll(other));
  for (int i = 0; i < 70; ++i) put(lane);
  const LaneState before = spool_->state(lane);
  EXPECT_GT(before.dropped_overflow, 30U);
  EXPECT_LT(before.dropped_overflow, 100U) << "some is left in the old file";
  EXPECT_LE(before.stored_bytes, share + 4 * kRecord) << "both files count";
  const auto held = read_all(*spool_, lane, before.cursor + 1);
  EXPECT_EQ(held.size(), before.pending());
  EXPECT_EQ(spool_->counters().older_files, 1U);
  reopen();
  const LaneState after = spool_->state(lane);
  EXPECT_EQ(after.cursor, before.cursor);
  EXPECT_EQ(after.dropped_overflow, before.dropped_overflow);
  EXPECT_EQ(read_all(*spool_, lane, after.cursor + 1), held);
  EXPECT_EQ(read_all(*spool_, lane).begin()->first, after.cursor + 1);
  expect_balanced(after);
  spool_->acknowledge(other, 61);
  spool_->rewound(lane, after.cursor + 1);
  for (int i = 0; i < 150; ++i) put(lane);
  EXPECT_TRUE(has_only_one_file()) << "all that was in the old file is delivered or dropped";
  const LaneState end = spool_->state(lane);
  EXPECT_EQ(end.delivered(), 0U);
  EXPECT_EQ(end.damaged, 0U);
  expect_balanced(end);
  reopen();
  EXPECT_EQ(spool_->state(lane).dropped_overflow, end.dropped_overflow);
}

// max_size is over all files: what the old one takes is not free, and dropping from it frees
// nothing.
TEST_F(LimitsRoll, AFullOldFileCountsAndRoomIsMadeInTheNewOne) {
  options_.policies["cheap"] = {OverflowPolicy::kDropOldest, 100.0, {}};
  open();
  const LaneId cheap = spool_->lane({"cheap", "t"});
  const LaneId dear = spool_->lane({"dear", "t"});
  const auto quota = spool_->counters().quota_bytes;
  for (int i = 0; i < 200; ++i) put(i % 2 == 0 ? cheap : dear);
  EXPECT_EQ(spool_->counters().state, SpoolState::kGreen);
  ASSERT_NO_FATAL_FAILURE(roll(dear));
  EXPECT_LT(spool_->counters().quota_bytes, quota - 200 * kRecord) << "the new file has the rest";
  for (int i = 0; i < 600; ++i) put(cheap);
  EXPECT_GE(spool_->counters().state, SpoolState::kYellow);
  const LaneState state = spool_->state(cheap);
  EXPECT_EQ(state.cursor, 0U) << "the hundred in the old file are kept: they would make no room";
  EXPECT_EQ(read_all(*spool_, cheap).begin()->first, 1U);
  EXPECT_TRUE(spool_->decided(cheap, {101, 200}));
  EXPECT_EQ(spool_->state(dear).dropped(), 0U);
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options_.dir))
    bytes += entry.file_size();
  EXPECT_LE(bytes, options_.max_size_bytes + (64 << 10)) << "lanes, LOCK";
  const auto held = read_all(*spool_, cheap);
  reopen();
  EXPECT_EQ(read_all(*spool_, cheap), held);
  EXPECT_EQ(spool_->state(cheap).pending(), state.pending());
  spool_->acknowledge(cheap, spool_->state(cheap).next_seq - 1);
  spool_->acknowledge(dear, 101);
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kGreen; }));
  expect_balanced(spool_->state(cheap));
}

TEST_F(LimitsRoll, TheSecondLedgerAndTheQuarantinesSizeGoAlong) {
  options_.quarantine_bytes = 5 * kRecord;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const LaneId other = spool_->lane({"o", "t"});
  for (int i = 0; i < 8; ++i) put(lane);
  spool_->turned_away(lane, 7);
  for (Seq seq = 1; seq <= 3; ++seq) spool_->quarantine(lane, seq, "poison");
  ASSERT_TRUE(spool_->flush());
  const auto bytes = spool_->counters().quarantine_bytes;
  EXPECT_GT(bytes, 3 * kRecord);
  ASSERT_NO_FATAL_FAILURE(roll(other));
  spool_->acknowledge(lane, 8);
  spool_->turned_away(lane, 1);
  ASSERT_TRUE(has_only_one_file()) << "its quarantine is copied";
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(spool_->state(lane).refused, 8U);
    EXPECT_EQ(spool_->counters().quarantine_bytes, bytes);
    EXPECT_EQ(spool_->state(lane).quarantined, 3U);
    EXPECT_EQ(spool_->state(lane).delivered(), 5U);
    reopen();
  }
}

// The activation of the next file carries the counts that were due: a stop is not to wait for more.
TEST_F(LimitsRoll, AStopEndsWhenARollWroteWhatWasDue) {
  open();
  const LaneId lane = spool_->lane({"route", "t"});
  put(lane);
  spool_->turned_away(lane, 3);
  vfs_.fail_sync_of("1.db-wal");
  spool_->stop();
  EXPECT_EQ(spool_->counters().rolls, 1U);
  spool_.reset();
  open();
  EXPECT_EQ(spool_->state(lane).refused, 3U);
}

// Nothing is acknowledged, the spool is green, nobody flushes: still the share holds.
TEST_F(LimitsRoll, ALaneOverItsShareDropsWithoutAnyAcknowledgement) {
  options_.policies["cheap"] = {OverflowPolicy::kDropOldest, 10.0, {}};
  open();
  const LaneId lane = spool_->lane({"cheap", "t"});
  const uint64_t share = spool_->counters().quota_bytes / 10;
  for (int i = 0; i < 100; ++i) {
    feeder_->put(lane, 1, kRecord);
    ASSERT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
  }
  EXPECT_TRUE(eventually([&] { return spool_->state(lane).stored_bytes <= share; }));
  expect_balanced(spool_->state(lane));
}

// max_size is over all files: a lane that stands still is not to take what is left for the others.
TEST_F(LimitsRoll, WhatHasNoRoomBesideNewRecordsStaysInTheOldFile) {
  open();
  const LaneId stalled = spool_->lane({"stalled", "t"});
  const LaneId busy = spool_->lane({"busy", "t"});
  constexpr size_t kSmall = 5000;
  for (int i = 0; i < 240; ++i) put(stalled, kSmall);
  for (int i = 0; i < 500; ++i) put(busy);
  ASSERT_NO_FATAL_FAILURE(roll(busy));
  spool_->acknowledge(busy, 501);
  ASSERT_TRUE(spool_->flush());
  ASSERT_TRUE(at_rest()) << "what can be moved is moved";
  for (Seq seq = 502; seq < 520; ++seq) {
    ASSERT_NO_FATAL_FAILURE(put(busy, 10 * kRecord));
    spool_->acknowledge(busy, seq);
  }
  EXPECT_EQ(spool_->counters().older_files, 1U);
  EXPECT_EQ(read_all(*spool_, stalled).size(), 240U);
  spool_->acknowledge(stalled, 210);
  EXPECT_TRUE(has_only_one_file()) << "the last thirty have room";
  const auto held = read_all(*spool_, stalled, 211);
  EXPECT_EQ(held.size(), 30U);
  for (const auto& [seq, body] : held) EXPECT_EQ(body, Feeder::body(stalled, seq, kSmall));
}

TEST_F(LimitsRoll, DamagedSegmentsAreNotInTheWayOfThoseThatCanBeMoved) {
  options_.index_entries = 1000;
  open();
  const LaneId damaged = spool_->lane({"damaged", "t"});
  const LaneId sound = spool_->lane({"sound", "t"});
  for (int i = 0; i < 20; ++i) put(damaged, 50);
  for (int i = 0; i < 20; ++i) put(sound, 50);
  close();
  query(options_.dir / "1.db",
        "UPDATE seg SET payload=zeroblob(length(payload)) WHERE lane=" + std::to_string(damaged));
  open();
  ASSERT_NO_FATAL_FAILURE(roll(spool_->lane({"other", "t"})));
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(spool_->counters().older_files, 1U);
  close();
  EXPECT_EQ(
      query(options_.dir / "2.db", "SELECT count(*) FROM seg WHERE lane=" + std::to_string(sound)),
      std::vector<std::string>{"20"});
}

TEST_F(LimitsRoll, WhatCouldNotBeReadForAMomentIsMovedLater) {
  options_.index_entries = 1000;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const LaneId other = spool_->lane({"other", "t"});
  put(lane);
  for (int i = 0; i < 500; ++i) put(other);  // so that its pages are not in memory
  ASSERT_NO_FATAL_FAILURE(roll(other));
  Sites sites(options_.dir / "1.db");
  sites.fail(Call::kSqliteRead, 0, EIO);
  spool_->acknowledge(other, 501);
  EXPECT_TRUE(has_only_one_file());
  EXPECT_FALSE(sites.hit().empty());
  EXPECT_EQ(read_all(*spool_, lane).size(), 1U);
}

}  // namespace
}  // namespace penstock::spool::testing
