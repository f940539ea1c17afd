// A filesystem with no byte left, a real one: the spool keeps reading, acknowledging and removing,
// and takes records again by itself. Needs root and a loop device.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "agent/spool/database.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr size_t kRecord = 20'000;

class DiskFull : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting a filesystem of our own needs root";
    std::filesystem::create_directories(mount());
    const std::string image = (dir_.path() / "image").string();
    const std::string make = "truncate -s 64M " + image + " && mkfs.ext4 -q -m 0 " + image +
                             " && mount -o loop " + image + " " + mount().string() + " 2>/dev/null";
    mounted_ = std::system(make.c_str()) == 0;
    if (!mounted_) GTEST_SKIP() << "no ext4 image can be mounted here (mkfs.ext4, loop devices)";
    options_ = options_in(mount() / "spool");
    options_.max_size_bytes = 56 << 20;
    options_.other_lanes.max_share_percent = 100;
    options_.policies["cheap"] = {OverflowPolicy::kDropOldest, 100.0, {}};
    options_.tail_bytes = 0;
  }
  void TearDown() override {
    if (spool_) spool_->stop();
    spool_.reset();
    if (!mounted_) return;
    const std::string unmount = "umount " + mount().string();
    EXPECT_EQ(std::system(unmount.c_str()), 0);
  }
  std::filesystem::path mount() const { return dir_.path() / "mount"; }

  void open() {
    spool_ = open_or_die(options_);
    watcher_ = std::make_unique<Watcher>();
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
  }
  // Somebody else takes all that is left.
  void eat_the_disk() {
    const int fd = ::open((mount() / "other").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ASSERT_GE(fd, 0);
    for (const size_t size : {size_t{1} << 16, size_t{4096}, size_t{1}}) {
      const std::string bytes(size, 'x');
      while (write(fd, bytes.data(), bytes.size()) > 0) {
      }
    }
    fsync(fd);
    close(fd);
    struct statvfs info {};
    ASSERT_EQ(statvfs(mount().c_str(), &info), 0);
    ASSERT_EQ(info.f_bavail, 0U);
  }
  // Puts records until one finds no room; that one stays in the queue.
  void fill(LaneId lane) {
    for (int i = 0; i < 4000; ++i) {
      feeder_->put(lane, 1, kRecord);
      if (spool_->flush()) continue;
      return;
    }
    FAIL() << "never full";
  }

  TempDir dir_;
  bool mounted_ = false;
  Options options_;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Feeder> feeder_;
};

TEST_F(DiskFull, AtZeroBytesAcknowledgementsMakeRoomAndCollectionGoesOn) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 20; ++i) feeder_->put(lane, 1, kRecord);
  ASSERT_TRUE(spool_->flush());
  ASSERT_NO_FATAL_FAILURE(eat_the_disk());
  ASSERT_NO_FATAL_FAILURE(fill(lane));
  EXPECT_LT(spool_->counters().live_bytes, spool_->counters().quota_bytes / 2)
      << "it is the disk that has no room, not our quota";
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow);
  EXPECT_TRUE(watcher_->faults().empty()) << "full is no fault";
  const Seq held = spool_->state(lane).next_seq - 1;
  EXPECT_EQ(read_all(*spool_, lane).size(), held) << "delivery goes on";
  for (Seq seq = 10; seq <= held; seq += 10) spool_->acknowledge(lane, seq);
  spool_->acknowledge(lane, held);
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq())) << "what waited is committed";
  for (int round = 0; round < 30; ++round) {  // at 0 bytes free all the while
    feeder_->put(lane, 5, kRecord);
    ASSERT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
    spool_->acknowledge(lane, spool_->state(lane).next_seq - 1);
  }
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kGreen; }));
  spool_->stop();
  const Seq next = spool_->state(lane).next_seq;
  spool_.reset();
  open();  // on the full disk
  EXPECT_EQ(spool_->state(lane).next_seq, next);
  EXPECT_EQ(spool_->state(lane).damaged, 0U);
}

// A first start: what is said is for a person, and what could not be made is not left lying about.
TEST_F(DiskFull, AFirstStartWithoutRoomSaysHowMuchIsMissingAndLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(eat_the_disk());
  const auto other = mount() / "other";
  const auto without_folder = Spool::open(options_, Log::none());
  ASSERT_FALSE(without_folder);
  EXPECT_EQ(without_folder.error().kind, ErrorKind::kFull);
  EXPECT_NE(without_folder.error().what.find("the disk is full: make room"), std::string::npos);
  std::filesystem::remove(other);
  int refused = 0;
  for (const uintmax_t kib : {0, 300, 3600, 5600, 6400}) {
    std::filesystem::create_directory(options_.dir);
    ASSERT_NO_FATAL_FAILURE(eat_the_disk());
    std::filesystem::resize_file(other, std::filesystem::file_size(other) - (kib << 10));
    for (int start = 0; start < 2; ++start) {
      SCOPED_TRACE(std::to_string(kib) + " KiB free, start " + std::to_string(start));
      const auto spool = Spool::open(options_, Log::none());
      if (spool) continue;
      ++refused;
      EXPECT_EQ(spool.error().kind, ErrorKind::kFull);
      const std::string& what = spool.error().what;
      EXPECT_NE(what.find("cannot create the spool in " + options_.dir.string()), what.npos)
          << what;
      EXPECT_NE(what.find(" KiB free, "), what.npos) << what;
      EXPECT_EQ(what.find("CREATE TABLE"), what.npos) << what;
      for (const auto& entry : std::filesystem::directory_iterator(options_.dir))
        EXPECT_EQ(entry.path().filename(), "LOCK");
    }
    std::filesystem::remove_all(options_.dir);
    std::filesystem::remove(other);
  }
  EXPECT_GE(refused, 4);
  open();
}

// Where statvfs does not tell, as under a quota: at each write of the creation.
TEST(DiskFullCreation, LeavesNothingWhereverItFindsNoRoom) {
  int refused = 0;
  for (int n = 0;; ++n) {
    SCOPED_TRACE("operation " + std::to_string(n));
    const TempDir dir;
    FaultVfs vfs;
    vfs.fail_operation(n, FaultVfs::Fault::kNoSpace);
    const auto db = open_existing(dir.path() / "1.db", sizing_for(8 << 20));
    if (db && vfs.operations() <= n) break;
    if (db) continue;
    EXPECT_EQ(db.error().what.find("CREATE TABLE"), std::string::npos) << db.error().what;
    if (db.error().kind != ErrorKind::kFull) continue;  // a sync that fails is an I/O error
    ++refused;
    EXPECT_NE(db.error().what.find("cannot create the spool in " + dir.path().string()),
              std::string::npos)
        << db.error().what;
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  }
  EXPECT_GE(refused, 3);
}

TEST_F(DiskFull, ItGoesOnByItselfWhenOthersMakeRoom) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  ASSERT_NO_FATAL_FAILURE(eat_the_disk());
  ASSERT_NO_FATAL_FAILURE(fill(lane));
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow);
  std::filesystem::remove(mount() / "other");
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kGreen; }));
}

TEST_F(DiskFull, DropOldestGoesOnAtZeroBytes) {
  open();
  const LaneId lane = spool_->lane({"cheap", "t"});
  for (int i = 0; i < 20; ++i) feeder_->put(lane, 1, kRecord);  // so that the file has some room
  ASSERT_TRUE(spool_->flush());
  ASSERT_NO_FATAL_FAILURE(eat_the_disk());
  for (int i = 20; i < 400; ++i) {
    feeder_->put(lane, 1, kRecord);
    ASSERT_TRUE(watcher_->wait_durable(1, feeder_->source_seq())) << "record " << i;
  }
  const LaneState state = spool_->state(lane);
  EXPECT_GT(state.dropped_overflow, 50U);
  const auto held = read_all(*spool_, lane, state.cursor + 1);
  EXPECT_EQ(held.size(), state.pending());
  EXPECT_EQ(held.rbegin()->first, 400U) << "the newest is kept";
}

// The old file is the room that records wait for.
TEST_F(DiskFull, BelowMinFreeAnOldFileThatHasBeenDeliveredGoesAndCollectionGoesOn) {
  FaultVfs vfs;
  options_.min_free_bytes = 16 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 250, kRecord);
  feeder_->refuse(lane, "refused", 3000);
  ASSERT_TRUE(spool_->flush());
  vfs.fail_sync_after(0);
  feeder_->put(lane, 1, kRecord);
  ASSERT_TRUE(spool_->flush());
  ASSERT_EQ(spool_->counters().rolls, 1U);
  struct statvfs info {};
  ASSERT_EQ(statvfs(mount().c_str(), &info), 0);
  const uint64_t free = info.f_bavail * info.f_frsize;
  ASSERT_GT(free, options_.min_free_bytes);
  const std::string eat = "fallocate -l " +
                          std::to_string(free - options_.min_free_bytes + (2 << 20)) + " " +
                          (mount() / "other").string();
  ASSERT_EQ(std::system(eat.c_str()), 0);
  ASSERT_NO_FATAL_FAILURE(fill(lane));
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow);
  spool_->acknowledge(lane, 251);
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq())) << "what waited is committed";
  EXPECT_EQ(spool_->counters().older_files, 0U);
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  EXPECT_TRUE(eventually([&] { return spool_->counters().state == SpoolState::kGreen; }));
  spool_->stop();
  spool_.reset();  // before the VFS
}

// A chunk of the file is larger than the spare, and the disk has not a block for it.
TEST_F(DiskFull, AfterAFaultAtZeroBytesRecordsAreDurableInTheSpare) {
  FaultVfs vfs;
  options_.max_size_bytes = 128 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 20, kRecord);
  ASSERT_TRUE(spool_->flush());
  ASSERT_TRUE(std::filesystem::exists(options_.dir / "2.db"));
  ASSERT_NO_FATAL_FAILURE(eat_the_disk());
  vfs.fail_sync_after(0);
  for (int i = 0; i < 5; ++i) {
    feeder_->put(lane, 1, kRecord);
    EXPECT_TRUE(spool_->flush()) << "record " << i;
  }
  EXPECT_EQ(spool_->counters().rolls, 1U);
  ASSERT_NO_FATAL_FAILURE(fill(lane));
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow) << "the spare is full as well";
  EXPECT_EQ(spool_->counters().rolls, 1U);
  spool_->acknowledge(lane, 24);
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq())) << "what waited is committed";
  EXPECT_EQ(spool_->state(lane).damaged, 0U);
  // In smaller steps than the chunk, over some checkpoints.
  std::filesystem::resize_file(mount() / "other",
                               std::filesystem::file_size(mount() / "other") - (11 << 20));
  ASSERT_NO_FATAL_FAILURE(fill(lane));
  spool_->acknowledge(lane, spool_->state(lane).next_seq - 2);
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
  struct stat file {};
  ASSERT_EQ(stat((options_.dir / "2.db").c_str(), &file), 0);
  EXPECT_GT(file.st_size, 8 << 20);
  EXPECT_GE(file.st_blocks * 512, file.st_size) << "a hole, which a checkpoint must fill";
  spool_->stop();
  spool_.reset();  // before the VFS
}

TEST_F(DiskFull, MinFreeIsLeftToOthers) {
  options_.min_free_bytes = 40 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  fill(lane);
  struct statvfs info {};
  ASSERT_EQ(statvfs(mount().c_str(), &info), 0);
  EXPECT_GE(info.f_bavail * info.f_frsize + (64 << 10), options_.min_free_bytes)
      << "the file grows in steps of up to 8 MB, but not into that";
  EXPECT_LE(info.f_bavail * info.f_frsize, options_.min_free_bytes + (3 << 20))
      << "and in small ones as long as there is room";
  EXPECT_EQ(spool_->counters().state, SpoolState::kDiskLow);
}

// Nothing is queued then that would find the room again.
TEST(DiskFullPolicies, WhatRefusesNewRecordsTakesThemAgainOnceAcknowledgementsFindRoom) {
  FaultVfs vfs;
  const TempDir dir;
  Options options = options_in(dir.path() / "spool");
  options.other_lanes.overflow = OverflowPolicy::kDropNewest;
  const auto spool = open_or_die(options);
  Watcher watcher;
  spool->start(watcher);
  Feeder feeder(*spool);
  const LaneId lane = spool->lane({"r", "t"});
  feeder.put(lane, 5);
  ASSERT_TRUE(spool->flush());
  vfs.set_disk_full(true, true);
  spool->acknowledge(lane, 3);
  EXPECT_TRUE(eventually([&] { return spool->admit(lane) == Admission::kDrop; }));
  vfs.set_disk_full(false);
  EXPECT_TRUE(eventually([&] { return spool->admit(lane) == Admission::kTake; }));
  feeder.put(lane, 1);
  EXPECT_TRUE(spool->flush());
  spool->stop();
}

}  // namespace
}  // namespace penstock::spool::testing
