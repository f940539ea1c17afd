// Old files that somebody gives a higher number, and files in their place that look like them.
#include <fstream>
#include <optional>

#include "agent/spool/lanes_file.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_one_lane.h"

namespace penstock::spool::testing {
namespace {

namespace fs = std::filesystem;

class SpoolMisplaced : public OneLaneSpool {
 protected:
  static constexpr Seq kPerFile = 100;

  // So much that it is not moved.
  void put(Seq records) { OneLaneSpool::put(static_cast<int>(records / 5), 5, 20'000); }
  // Files 1.db up to `files`, each in an epoch of its own and with records that wait.
  void live(uint32_t files) {
    std::optional<FaultVfs> vfs(std::in_place);
    open();
    for (uint32_t number = 1; number <= files; ++number) {
      if (number > 1) vfs->fail_sync_of(std::to_string(number - 1) + ".db-wal");
      origins_.push_back(spool_->origin_prefix() + "/" + std::to_string(lane_));
      put(kPerFile);
      ASSERT_EQ(spool_->counters().rolls, number - 1);
    }
    // Of the commit that failed, too: it is in the next epoch.
    spool_->acknowledge(lane_, 10);
    ASSERT_TRUE(spool_->flush());
    epoch_ = spool_->epoch();
    close();
  }
  void rename(uint32_t from, uint32_t to) {
    for (const char* suffix : {".db", ".db-wal"}) {
      const auto file = options_.dir / (std::to_string(from) + suffix);
      if (fs::exists(file)) fs::rename(file, options_.dir / (std::to_string(to) + suffix));
    }
  }

  std::vector<std::string> origins_;  // of each file when it was begun
  std::string epoch_;                 // the last
};

TEST_F(SpoolMisplaced, AnOldFileWithAHigherNumberIsSetAsideAndRepairGivesItsRecordsBack) {
  live(2);
  rename(1, 9);
  for (int time = 0; time < 2; ++time) {
    open();
    EXPECT_EQ(spool_->epoch(), epoch_);
    EXPECT_EQ(spool_->counters().kept_files, 1U);
    EXPECT_EQ(spool_->counters().parked_files, 0U);
    ASSERT_TRUE(spool_->flush());
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.next_seq, 2 * kPerFile + 1 + static_cast<Seq>(time) * 5);
    EXPECT_EQ(state.cursor, kPerFile);
    EXPECT_EQ(state.damaged, kPerFile - 10);
    EXPECT_EQ(read_all(*spool_, lane_, kPerFile + 1).size(), state.next_seq - 1 - kPerFile);
    put(5);
    close();
  }
  EXPECT_TRUE(has("9.kept.db") && has("9.kept.db-wal"));
  EXPECT_FALSE(has("9.db") || has("9.db-wal"));
  const auto repaired = dir_.path() / "repaired";
  const auto account = repair_spool(options_.dir, repaired, Log::none());
  ASSERT_TRUE(account) << account.error().what;
  options_.dir = repaired;
  open();
  EXPECT_EQ(spool_->state(lane_).damaged, 0U) << "handed over";
  const LaneId late = spool_->lane({"r@" + origins_.front(), "t"});
  const auto records = read_all(*spool_, late);
  EXPECT_EQ(records.size(), kPerFile - 10);
  for (const auto& [seq, body] : records) EXPECT_EQ(body, Feeder::body(lane_, seq, 20'000));
  close();
}

// What is in the quarantine and in `fate` of the old file was never copied: nothing of it waits to
// be sent, and all of it is there after a repair, ahead of the cursor and behind it.
class SpoolMisplacedRows : public SpoolMisplaced {
 protected:
  void live_with_rows() {
    live(2);
    const std::string lane = std::to_string(lane_);
    for (const Seq seq : {3, 50, 110}) {  // the last number was given out again
      query(options_.dir / "1.db", "INSERT INTO quarantine VALUES(" + lane + "," +
                                       std::to_string(seq) + ",1,0,'poison',x'00')");
    }
    query(options_.dir / "1.db", "INSERT INTO fate VALUES(" + lane + ",5,6,3,0,'age'),(" + lane +
                                     ",60,61,2,0,'by hand'),(" + lane + ",70,70,3,0,'age')");
    query(options_.dir / "2.db",
          "UPDATE lane_state SET quarantined=1, dropped=2, dropped_age=2 WHERE lane=" + lane);
    rename(1, 9);
    open();
    ASSERT_EQ(spool_->counters().kept_files, 1U);
    EXPECT_EQ(spool_->state(lane_).damaged, kPerFile - 10);
    spool_->damaged(lane_, 110, 110, "torn");
    ASSERT_TRUE(spool_->flush());
    close();
  }
  // The rows of the repaired spool, `seq` alone of the quarantine.
  std::pair<std::vector<std::string>, std::vector<std::string>> rows() {
    const auto dir = repaired();
    const auto file = dir / "1.db";
    const std::string of_lane = " WHERE lane=" + std::to_string(lane_) + " ORDER BY 1";
    auto out = std::pair(query(file, "SELECT seq, reason, hex(record) FROM quarantine" + of_lane),
                         query(file, "SELECT first_seq, last_seq, kind FROM fate" + of_lane));
    options_.dir = dir;
    open();
    return out;
  }
  using Lines = std::vector<std::string>;
};

TEST_F(SpoolMisplacedRows, QuarantineAndFatesComeBackWithARepair) {
  live_with_rows();
  const auto [quarantine, fates] = rows();
  EXPECT_EQ(quarantine, (Lines{"3|poison|00", "50|poison|00"}));
  EXPECT_EQ(fates, (Lines{"5|6|3", "60|61|2", "70|70|3"}));
  const LaneState state = spool_->state(lane_);
  EXPECT_EQ(state.damaged, 0U);
  EXPECT_EQ(state.quarantined, 2U);
  EXPECT_EQ(state.discarded, 2U);
  EXPECT_EQ(state.dropped(), 3U);
  EXPECT_EQ(state.dropped_age, 3U);
  expect_balanced(state);
  const LaneId late = spool_->lane({"r@" + origins_.front(), "t"});
  EXPECT_EQ(read_all(*spool_, late).size(), kPerFile - 10 - 4) << "not what has a fate";
  close();
}

// Behind the cursor the count says whether they are in the quarantine at all.
TEST_F(SpoolMisplacedRows, WhatWasReplayedFromACopyDoesNotComeBack) {
  live_with_rows();
  query(options_.dir / "2.db", "UPDATE lane_state SET quarantined=0");
  EXPECT_EQ(rows().first, (Lines{"50|poison|00"}));
  EXPECT_EQ(spool_->state(lane_).quarantined, 1U);
  close();
}

TEST_F(SpoolMisplacedRows, ATableThatIsBrokenIsNotBelieved) {
  live_with_rows();
  const auto file = options_.dir / "9.kept.db";
  // A value that cannot be.
  query(file, "UPDATE quarantine SET seq=-1 WHERE seq=110");
  const auto [quarantine, fates] = rows();
  EXPECT_EQ(quarantine, Lines());
  EXPECT_EQ(fates.size(), 3U);
  close();
}

TEST_F(SpoolMisplaced, OneBetweenOthersIsSetAsideToo) {
  live(3);
  rename(3, 5);
  rename(1, 3);
  fs::remove(options_.dir / "lanes");  // which would say that 3 is in use
  open();
  EXPECT_EQ(spool_->epoch(), epoch_);
  EXPECT_EQ(spool_->counters().kept_files, 1U);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(lane_).damaged, kPerFile - 10) << "of the first file alone";
  EXPECT_EQ(read_all(*spool_, lane_, kPerFile + 1).size(), 2 * kPerFile);
  close();
  EXPECT_TRUE(has("3.kept.db") && has("2.db") && has("5.db"));
}

// Rows of a file in its place that are lost make it look like one that is not; both must be.
TEST_F(SpoolMisplaced, AFileThatHasLostEpochsStaysInItsPlace) {
  live(3);
  query(options_.dir / "3.db", "DELETE FROM epoch WHERE id>1");
  fs::remove(options_.dir / "lanes");
  open();
  EXPECT_EQ(spool_->counters().kept_files, 0U);
  EXPECT_EQ(spool_->state(lane_).next_seq, 3 * kPerFile + 1);
  EXPECT_EQ(read_all(*spool_, lane_, 11).size(), 3 * kPerFile - 10);
  close();
}

TEST_F(SpoolMisplaced, AFileWhoseLanesAreWrongStaysInItsPlace) {
  live(2);
  query(options_.dir / "2.db", "UPDATE lane_state SET first_seq=1");
  query(options_.dir / "1.db", "UPDATE lane_state SET first_seq=2");
  fs::remove(options_.dir / "lanes");
  open();
  EXPECT_EQ(spool_->counters().kept_files, 0U);
  EXPECT_EQ(spool_->epoch(), epoch_);
  close();
}

TEST_F(SpoolMisplaced, AFileThatTheCopyOfTheLanesCallsActiveStaysInUse) {
  live(2);
  rename(1, 9);
  LanesFile lanes(options_.dir);
  auto copy = lanes.read();
  ASSERT_TRUE(copy);
  copy->active = 9;
  ASSERT_TRUE(lanes.write(*copy));
  open();
  EXPECT_EQ(spool_->counters().kept_files, 0U);
  EXPECT_TRUE(has("9.db"));
  close();
}

// Another machine's identity is another epoch in the active file, and the next one begins with it.
TEST_F(SpoolMisplaced, FilesOfAClonedCardStayInTheirPlace) {
  live(2);
  options_.machine_id_file = dir_.path() / "machine-id";
  std::ofstream(options_.machine_id_file) << "0123456789abcdef0123456789abcdef\n";
  std::optional<FaultVfs> vfs(std::in_place);
  open();
  EXPECT_NE(spool_->epoch(), epoch_);
  vfs->fail_sync_of("2.db-wal");
  put(kPerFile);
  ASSERT_EQ(spool_->counters().rolls, 1U);
  close();
  vfs.reset();
  open();
  EXPECT_EQ(spool_->counters().kept_files, 0U);
  EXPECT_EQ(spool_->state(lane_).damaged, 0U);
  EXPECT_EQ(read_all(*spool_, lane_, 11).size(), 3 * kPerFile - 10);
  close();
}

}  // namespace
}  // namespace penstock::spool::testing
