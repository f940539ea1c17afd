// The copy of where the lanes stand: when it is written, what becomes of it when it cannot be, and
// what a start has of it.
#include <atomic>
#include <cerrno>

#include <sys/stat.h>

#include "agent/spool/lanes_file.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_one_lane.h"
#include "tests/crash/spool_sites.h"
#include "tests/crash/spool_stuck_files.h"

namespace penstock::spool::testing {
namespace {

class SpoolLanesCopy : public OneLaneSpool {
 protected:
  SpoolLanesCopy() {
    options_.mono = [this] { return MonoTime(std::chrono::seconds(seconds_.load())); };
  }
  ~SpoolLanesCopy() override {
    watch_removals(nullptr);
    spool_.reset();
  }

  void open() {
    OneLaneSpool::open();
    ASSERT_TRUE(eventually([this] { return has("lanes"); }));
    ASSERT_TRUE(at_rest());
  }
  void pass(int seconds) { seconds_ += seconds; }
  void put(int count, size_t size = 50) {
    OneLaneSpool::put(1, count, size);
    ASSERT_TRUE(at_rest());
  }
  // Has the thread look at what is due.
  void wake() {
    ASSERT_TRUE(read_now(*spool_, lane_, 1000));  // what is there is read without the thread
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

  std::atomic<int64_t> seconds_ = 1000;
};

TEST_F(SpoolLanesCopy, IsWrittenAtMostEveryTenSeconds) {
  open();
  EXPECT_EQ(copied(), 0U) << "of the start";
  for (int i = 0; i < 5; ++i) put(1);
  pass(9);
  put(1);
  EXPECT_EQ(copied(), 0U);
  pass(1);
  wake();
  EXPECT_EQ(copied(), 7U);
  pass(9);
  put(1);
  spool_->acknowledge(lane_, 3);
  ASSERT_TRUE(spool_->flush());
  wake();
  EXPECT_EQ(copied(), 7U);
  pass(1);
  wake();
  EXPECT_EQ(copied(), 8U);
  const auto lanes = copy().lanes;
  ASSERT_FALSE(lanes.empty());
  EXPECT_EQ(lanes.back().cursor, 3U);
}

TEST_F(SpoolLanesCopy, IsWrittenThoughNothingElseHappens) {
  open();
  put(3);
  pass(9);
  wake();
  EXPECT_EQ(copied(), 0U);
  pass(1);
  EXPECT_TRUE(eventually([this] { return copied() == 4; }));
}

TEST_F(SpoolLanesCopy, IsWrittenAfterARollWhateverTheTimeAndTenSecondsLater) {
  FaultVfs vfs;
  open();
  put(3);
  pass(9);
  vfs.fail_sync_of("1.db-wal");
  put(2);
  ASSERT_EQ(spool_->counters().rolls, 1U);
  EXPECT_EQ(copy().active, 2U);
  EXPECT_GE(copied(), 4U);
  EXPECT_EQ(copy().epochs.size(), 2U);
  const Seq at_roll = copied();
  pass(9);
  put(1);
  EXPECT_EQ(copied(), at_roll);
  pass(1);
  wake();
  EXPECT_EQ(copied(), 7U);
  close();
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
  pass(10);
  spool_->acknowledge(lane_, 100);
  ASSERT_TRUE(spool_->flush());
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(options_.dir / "1.db"); }));
  ASSERT_TRUE(at_rest());
  watch_removals(nullptr);
  EXPECT_EQ(active, std::optional<uint32_t>(2U));
  close();
}

TEST_F(SpoolLanesCopy, ThatCouldNotBeWrittenIsWrittenTenSecondsLater) {
  open();
  put(1);
  {
    Sites sites(options_.dir);
    sites.fail(Call::kWrite, 0, EIO);
    pass(10);
    wake();
    ASSERT_FALSE(sites.hit().empty());
  }
  EXPECT_EQ(copied(), 0U);
  pass(10);
  wake();
  EXPECT_EQ(copied(), 2U);
}

// A bad block under one of the slots would refuse each of them.
TEST_F(SpoolLanesCopy, ThatCouldNotBeWrittenGoesIntoANewFile) {
  std::filesystem::create_directories(options_.dir);
  const auto stored_in = [this] {
    struct stat info {};
    EXPECT_EQ(stat((options_.dir / "lanes").c_str(), &info), 0);
    return info.st_ino;
  };
  LanesFile file(options_.dir);
  ASSERT_TRUE(file.write({1, {}, {}}));
  uint32_t number = 1;
  for (const Call call : {Call::kWrite, Call::kSync}) {
    SCOPED_TRACE(name_of(call));
    const auto before = stored_in();
    {
      Sites sites(options_.dir);
      sites.fail(call, 0, EIO);
      EXPECT_FALSE(file.write({++number, {}, {}}));
      EXPECT_FALSE(sites.hit().empty());
    }
    EXPECT_EQ(stored_in(), before);
    ASSERT_TRUE(file.write({++number, {}, {}}));
    const auto after = stored_in();
    EXPECT_NE(after, before);
    ASSERT_TRUE(file.write({++number, {}, {}}));
    EXPECT_EQ(stored_in(), after) << "which then takes them in turn";
    EXPECT_EQ(copy().active, number);
  }
}

// A cut of the power, and the rows of `lane_state` are lost: the copy knows them as they were some
// seconds before.
TEST_F(SpoolLanesCopy, SaysWhereTheLanesStoodWhenTheirRowsAreLost) {
  open();
  put(5);
  spool_->acknowledge(lane_, 2);
  ASSERT_TRUE(spool_->flush());
  pass(10);
  wake();
  put(3);
  spool_->acknowledge(lane_, 4);  // of which the copy has not heard
  ASSERT_TRUE(spool_->flush());
  ASSERT_TRUE(at_rest());
  const std::string epoch = spool_->epoch();
  const auto cut = dir_.path() / "cut";
  std::filesystem::copy(options_.dir, cut);
  close();
  query(cut / "1.db", "DELETE FROM lane_state");
  options_.dir = cut;
  open();
  EXPECT_NE(spool_->epoch(), epoch);
  const LaneState state = spool_->state(lane_);
  EXPECT_EQ(state.cursor, 2U);
  EXPECT_EQ(state.next_seq, 9U);
  EXPECT_EQ(state.damaged, 0U);
  const auto held = read_all(*spool_, lane_, 3);
  for (Seq seq = 3; seq < 9; ++seq) EXPECT_TRUE(held.contains(seq)) << seq;
  for (const auto& [seq, body] : held) EXPECT_EQ(body, Feeder::body(lane_, seq, 50));
}

}  // namespace
}  // namespace penstock::spool::testing
