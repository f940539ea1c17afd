// Below min_free: old files go, nothing is moved and nothing is made; and how long a lane waits for
// records behind a read error.
#include <cerrno>

#include "agent/spool/offline_repair.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_sites.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr size_t kRecord = 20'000;
constexpr uint64_t kNeverFree = uint64_t{1} << 60;

class SpoolLowDisk : public LimitedSpool {
 protected:
  ~SpoolLowDisk() override { spool_.reset(); }

  // Forty segments of a lane and three quarantined records in a file that is only read.
  LaneId begin_second_file() {
    const LaneId lane = spool_->lane({"r", "t"});
    for (int i = 0; i < 40; ++i) {
      feeder_->put(lane, 1, kRecord);
      EXPECT_TRUE(spool_->flush());
    }
    for (int i = 0; i < 3; ++i) feeder_->refuse(kUnroutedLane, "no route", 3000);
    EXPECT_TRUE(spool_->flush());
    vfs_.fail_sync_after(0);
    feeder_->put(lane, 1, kRecord);
    EXPECT_TRUE(spool_->flush());
    EXPECT_EQ(spool_->counters().rolls, 1U);
    return lane;
  }

  FaultVfs vfs_;
};

TEST_F(SpoolLowDisk, NothingIsMovedButAFileThatIsEmptyIsRemovedWithItsQuarantineKept) {
  open();
  const LaneId lane = begin_second_file();
  close();
  options_.min_free_bytes = kNeverFree;
  open();
  spool_->acknowledge(lane, 38);
  ASSERT_TRUE(eventually([&] { return spool_->state(lane).stored_bytes < 4 * kRecord; }));
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(read_now(*spool_, lane, 41));
  EXPECT_EQ(spool_->counters().older_files, 1U) << "its last two segments are due to be moved";
  feeder_->put(lane, 1, kRecord);
  EXPECT_FALSE(spool_->flush());
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow);
  spool_->acknowledge(lane, 41);
  EXPECT_TRUE(eventually([&] { return !has("1.db") && !has("1.db-wal"); }))
      << "to carry three rows takes less than the file gives";
  EXPECT_EQ(spool_->state(kUnroutedLane).quarantined, 3U);
  EXPECT_FALSE(spool_->flush()) << "there is less than min_free all the while";
  close();
  EXPECT_EQ(query(options_.dir / "2.db", "SELECT count(*) FROM quarantine").at(0), "3");
  options_.min_free_bytes = 0;
  open();
  EXPECT_EQ(spool_->state(kUnroutedLane).quarantined, 3U);
  EXPECT_EQ(spool_->state(lane).cursor, 41U);
  EXPECT_EQ(spool_->state(lane).damaged, 0U);
  close();
}

TEST_F(SpoolLowDisk, NoSpareIsMadeUntilThereIsRoomForIt) {
  options_.max_size_bytes = 128 << 20;
  options_.min_free_bytes = kNeverFree;
  open();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(read_now(*spool_, spool_->lane({"r", "t"}), 1));
  EXPECT_FALSE(has("2.db"));
  close();
  EXPECT_FALSE(has("2.db"));
  options_.min_free_bytes = 0;
  open();
  EXPECT_TRUE(has("2.db"));
  close();
}

// What a file grew by and was not yet written back is gone after a power cut, and the log, which is
// copied back first then, would have no room on a disk that others have filled since.
TEST_F(SpoolLowDisk, AfterAPowerCutAcknowledgementsNeedNoRoom) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const auto size = [this] { return std::filesystem::file_size(options_.dir / "1.db"); };
  Seq last = 0;
  uintmax_t begins = 0;
  for (int after = 0; after < 6; ++last) {  // it grows some pages early
    if (last < 20) begins = size();
    feeder_->put(lane, 1, kRecord);
    ASSERT_TRUE(spool_->flush());
    after += size() > begins ? 1 : 0;
  }
  std::mt19937_64 random(test_seed());
  const auto medium = dir_.path() / "medium";
  vfs_.cut(options_.dir, medium, FaultVfs::Survives::kNothing, random);
  close();
  options_.dir = medium;
  vfs_.adopt(medium);
  vfs_.set_disk_full(true);
  open();
  spool_->acknowledge(lane, last - 1);
  EXPECT_TRUE(spool_->flush());
  EXPECT_LT(spool_->state(lane).stored_bytes, 2 * kRecord);
  close();
  open();
  EXPECT_EQ(spool_->state(lane).cursor, last - 1);
  close();
}

class SalvageWait : public SpoolLowDisk {
 protected:
  // Three segments of five, of which nobody remembers the first two: a start reads the last.
  LaneId three_segments() {
    open();
    const LaneId lane = spool_->lane({"r", "t"});
    for (int i = 0; i < 3; ++i) {
      feeder_->put(lane, 5, kRecord);
      EXPECT_TRUE(spool_->flush());
    }
    origin_ = spool_->origin_prefix() + "/" + std::to_string(lane);
    close();
    open();
    return lane;
  }
  ErrorKind error_of(LaneId lane, Seq from) {
    const auto read = read_now(*spool_, lane, from);
    EXPECT_FALSE(read);
    return read ? ErrorKind::kShutdown : read.error().kind;
  }
  std::string origin_;
};

TEST_F(SalvageWait, ALaneWaitsThirtySecondsForWhatCannotBeReadAndThenGoesOn) {
  const LaneId lane = three_segments();
  vfs_.fail_reads(true);
  EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient);
  for (int second = 0; second < 29; ++second) {
    clock_.pass(1);
    EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient) << "it may still pass";
  }
  EXPECT_EQ(error_of(lane, 6), ErrorKind::kTransient) << "that one waits from now on";
  clock_.pass(1);
  EXPECT_EQ(error_of(lane, 1), ErrorKind::kCorrupt) << "not for ever";
  EXPECT_EQ(error_of(lane, 6), ErrorKind::kTransient);
  spool_->damaged(lane, 1, 5, "unreadable");
  vfs_.fail_reads(false);
  const auto held = read_all(*spool_, lane);
  ASSERT_EQ(held.size(), 10U);
  EXPECT_EQ(held.begin()->first, 6U) << "the lane has gone on";
  EXPECT_EQ(spool_->state(lane).damaged, 5U);
  spool_->acknowledge(lane, 8);
  ASSERT_TRUE(spool_->flush());
  close();
  // What can be read again later comes back under the name it had, beside the order of its lane.
  const auto into = dir_.path() / "repaired";
  ASSERT_TRUE(repair_spool(options_.dir, into, Log::none()));
  options_.dir = into;
  open();
  std::map<Seq, std::string> late;
  for (const auto& one : spool_->lanes()) {
    if (one.key.route == "r@" + origin_) late = read_all(*spool_, one.id, one.cursor + 1);
  }
  EXPECT_EQ(late.size(), 5U);
  for (const auto& [seq, body] : late) EXPECT_EQ(body, Feeder::body(lane, seq, kRecord));
  EXPECT_EQ(spool_->state(lane).damaged, 0U) << "the lane they left no longer counts them so";
  EXPECT_EQ(spool_->state(lane).pending(), 7U);
  close();
}

// One error, an hour in which the lane had nothing to send, another one.
TEST_F(SalvageWait, BeginsAnewWhenTheLaneHasNotAskedForAWhile) {
  const LaneId lane = three_segments();
  vfs_.fail_reads(true);
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient);
    clock_.pass(3600);
  }
  for (int second = 0; second < 30; ++second) {
    EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient) << second;
    clock_.pass(1);
  }
  EXPECT_EQ(error_of(lane, 1), ErrorKind::kCorrupt);
  vfs_.fail_reads(false);
  close();
}

TEST_F(SalvageWait, WhatCanBeReadAgainInTimeIsDeliveredInOrderAndTheWaitBeginsAnew) {
  const LaneId lane = three_segments();
  for (int time = 0; time < 3; ++time) {
    vfs_.fail_reads(true);
    EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient);
    clock_.pass(20);
    EXPECT_EQ(error_of(lane, 1), ErrorKind::kTransient);
    vfs_.fail_reads(false);
    EXPECT_EQ(read_all(*spool_, lane).size(), 15U);
    close();  // forgets the pages it has read
    open();
  }
  EXPECT_EQ(spool_->state(lane).damaged, 0U);
  close();
}

// The first segment of three, which is not in memory, cannot be read once, while a record of it is
// copied to the quarantine. What is in the quarantine then.
class QuarantineWait : public SalvageWait {
 protected:
  std::vector<std::string> after_one_error() {
    const LaneId lane = three_segments();
    EXPECT_TRUE(read_now(*spool_, lane, 6));  // it is known then where the first one is
    Sites sites(options_.dir);
    sites.fail(Call::kSqliteRead, 0, EIO);
    spool_->quarantine(lane, 2, "poison");
    spool_->acknowledge(lane, 5);
    EXPECT_TRUE(spool_->flush());
    EXPECT_NE(sites.hit().find("1.db"), std::string::npos) << sites.hit();
    EXPECT_TRUE(spool_->flush());
    close();
    EXPECT_EQ(query(file(), "SELECT cursor FROM lane_state WHERE lane=1").at(0), "5");
    return query(file(), "SELECT length(record), reason FROM quarantine");
  }
  std::filesystem::path file() const { return options_.dir / "1.db"; }
};

// The cursor passes the record and its segment is removed: the copy is then the only one.
TEST_F(QuarantineWait, ARecordThatCannotBeReadForAMomentIsCopiedWhole) {
  EXPECT_EQ(after_one_error(), std::vector<std::string>{std::to_string(kRecord) + "|poison"});
}

TEST_F(QuarantineWait, OneThatStaysUnreadableIsCountedWithoutItsContent) {
  options_.salvage_wait = Millis(0);
  EXPECT_EQ(after_one_error(),
            std::vector<std::string>{"0|poison (the record itself could not be read back)"});
}

}  // namespace
}  // namespace penstock::spool::testing
