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
      fs::rename(options_.dir / (std::to_string(from) + suffix),
                 options_.dir / (std::to_string(to) + suffix));
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
