// The copy of where the lanes stand: when it is written, and what becomes of it when it cannot be.
#include <cerrno>

#include "agent/spool/lanes_file.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_sites.h"
#include "tests/crash/spool_stuck_files.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

class SpoolLanesCopy : public ::testing::Test {
 protected:
  SpoolLanesCopy() { options_.clock = clock_.reader(); }
  ~SpoolLanesCopy() override {
    watch_removals(nullptr);
    if (spool_) spool_->stop();
  }

  void open() {
    spool_ = open_or_die(options_);
    spool_->start(watcher_);
    feeder_ = std::make_unique<Feeder>(*spool_);
    lane_ = spool_->lane({"r", "t"});
    ASSERT_TRUE(eventually([this] { return std::filesystem::exists(options_.dir / "lanes"); }));
    ASSERT_TRUE(at_rest());
  }
  // The spool's thread waits: it has done all that was due.
  bool at_rest() {
    return eventually([this] { return !spool_->busy_since(); });
  }
  void put(int count, size_t size = 50) {
    feeder_->put(lane_, count, size);
    ASSERT_TRUE(spool_->flush());
    ASSERT_TRUE(at_rest());
  }
  LanesCopy copy() const {
    auto read = LanesFile(options_.dir).read();
    EXPECT_TRUE(read);
    return read.value_or(LanesCopy{});
  }
  // What the copy says the lane's next number is; 0: it does not name the lane.
  Seq copied() const {
    for (const auto& row : copy().lanes) {
      if (row.lane == lane_) return row.next_seq;
    }
    return 0;
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  HandClock clock_;
  Watcher watcher_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Feeder> feeder_;
  LaneId lane_ = 0;
};

TEST_F(SpoolLanesCopy, IsWrittenAtMostEveryTenSeconds) {
  open();
  EXPECT_EQ(copied(), 0U) << "of the start";
  for (int i = 0; i < 5; ++i) put(1);
  clock_.pass(9);
  put(1);
  EXPECT_EQ(copied(), 0U);
  clock_.pass(1);
  put(1);
  EXPECT_EQ(copied(), 8U);
  clock_.pass(9);
  put(1);
  EXPECT_EQ(copied(), 8U);
  clock_.pass(1);
  spool_->acknowledge(lane_, 3);
  ASSERT_TRUE(spool_->flush());
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(copied(), 9U);
  EXPECT_EQ(copy().lanes.back().cursor, 3U);
}

TEST_F(SpoolLanesCopy, IsWrittenAfterARollWhateverTheTime) {
  FaultVfs vfs;
  open();
  put(3);
  vfs.fail_sync_of("1.db-wal");
  put(2);
  ASSERT_EQ(spool_->counters().rolls, 1U);
  EXPECT_EQ(copy().active, 2U);
  EXPECT_EQ(copied(), 6U);
  EXPECT_EQ(copy().epochs.size(), 2U);
  spool_->stop();
  spool_.reset();
}

// Also when nothing has changed since the copy before: a file that is replaced while all is quiet.
TEST_F(SpoolLanesCopy, NamesTheNextFileBeforeTheOldOneGoes) {
  FaultVfs vfs;
  options_.shrink_from_bytes = 256 << 10;
  open();
  for (int i = 0; i < 20; ++i) put(5, 20000);
  std::optional<uint32_t> active;
  watch_removals([&](const std::string& path) {
    if (path.ends_with("/1.db")) active = copy().active;
  });
  clock_.pass(10);
  spool_->acknowledge(lane_, 100);
  ASSERT_TRUE(spool_->flush());
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(options_.dir / "1.db"); }));
  ASSERT_TRUE(at_rest());
  watch_removals(nullptr);
  EXPECT_EQ(active, std::optional<uint32_t>(2U));
  spool_->stop();
  spool_.reset();
}

TEST_F(SpoolLanesCopy, ThatCouldNotBeWrittenIsWrittenTenSecondsLater) {
  open();
  put(1);
  {
    Sites sites(options_.dir);
    sites.fail(Call::kWrite, 0, EIO);
    clock_.pass(10);
    (void)read_now(*spool_, lane_, 1);  // it looks
    ASSERT_TRUE(at_rest());
    ASSERT_FALSE(sites.hit().empty());
  }
  EXPECT_EQ(copied(), 0U);
  clock_.pass(10);
  (void)read_now(*spool_, lane_, 1);
  ASSERT_TRUE(at_rest());
  EXPECT_EQ(copied(), 2U);
}

}  // namespace
}  // namespace penstock::spool::testing
