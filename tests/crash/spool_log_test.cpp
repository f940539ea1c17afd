// A bit that flips in the write-ahead log ends it there, and what is before the end covers newer
// pages of the database: the file goes back in time, and SQLite sees nothing wrong. After a clean
// stop no log counts; else what the copy of the lanes knows, and commits that lie behind the end,
// tell.
#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <optional>

#include "agent/spool/lanes_file.h"
#include "agent/spool/offline_check.h"
#include "agent/spool/offline_image.h"
#include "tests/crash/spool_corpus.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_one_lane.h"
#include "tests/crash/spool_sites.h"
#include "tests/crash/spool_stuck_files.h"

namespace penstock::spool::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameBytes = 24 + 4096;

class SpoolLog : public OneLaneSpool {
 protected:
  SpoolLog() {
    options_.quarantine_bytes = 32 << 20;  // in which a file that was set aside has room
    options_.mono = [this] { return MonoTime(std::chrono::seconds(seconds_.load())); };
  }
  ~SpoolLog() override {
    watch_removals(nullptr);
    spool_.reset();
  }

  void put(int commits, int count = 10) { OneLaneSpool::put(commits, count, 50); }
  // The copy of the lanes is as new as the file.
  void copy_lanes() {
    seconds_ += 10;
    ASSERT_TRUE(read_now(*spool_, lane_, 1000));  // what is there is read without the thread
    ASSERT_TRUE(at_rest());
    const auto copy = LanesFile(options_.dir).read();
    ASSERT_TRUE(copy && !copy->lanes.empty());
    ASSERT_EQ(copy->lanes.back().next_seq, spool_->state(lane_).next_seq);
  }
  // As kill -9 leaves it.
  void kill() {
    ASSERT_TRUE(at_rest());
    const fs::path killed = dir_.path() / "killed";
    fs::copy(options_.dir, killed);
    close();
    options_.dir = killed;
  }
  // As versions before this left it: all in the database, and the log still counts.
  void close_leaving_the_log() {
    spool_->stop();
    const std::string header = slurp(log()).substr(0, kHeaderBytes);
    spool_.reset();
    std::string bytes = slurp(log());
    bytes.replace(0, kHeaderBytes, header);
    spill(log(), bytes);
  }
  fs::path log() const { return options_.dir / "1.db-wal"; }
  // Of the log in use, from the first on.
  static size_t frames(const std::string& bytes) {
    size_t count = 0;
    for (size_t at = kHeaderBytes; at + kFrameBytes <= bytes.size(); at += kFrameBytes, ++count) {
      if (bytes.compare(at + 8, 8, bytes, 16, 8) != 0) break;
    }
    return count;
  }
  void flip(size_t frame) {
    std::string bytes = slurp(log());
    bytes.at(kHeaderBytes + frame * kFrameBytes + 24 + 2000) ^= 4;
    spill(log(), bytes);
  }
  std::vector<Finding> fsck() const {
    auto spool = OfflineSpool::open(options_.dir);
    if (!spool) return {{options_.dir, {}, {}, {}, spool.error().what, ""}};
    CheckCounts counts;
    return check_spool(*spool, counts);
  }
  static bool names(const std::vector<Finding>& findings, const std::string& what) {
    return std::any_of(findings.begin(), findings.end(), [&](const Finding& one) {
      return one.what.find(what) != std::string::npos &&
             one.advice.find("penstock spool repair") != std::string::npos;
    });
  }
  // Waiting records, as the offline tools see them.
  static size_t stored(const fs::path& dir) {
    size_t count = 0;
    auto spool = OfflineSpool::open(dir);
    if (!spool) return 0;
    spool->for_each(
        {}, [&count](const OfflineRecord&) { return ++count > 0; },
        [](const auto&, const auto&, const auto&) {});
    return count;
  }
  // What a start says.
  std::string opened_saying() {
    ::testing::internal::CaptureStderr();
    {
      auto opened = Spool::open(options_, Log::to_stderr(LogLevel::kWarning));
      EXPECT_TRUE(opened) << opened.error().what;
    }
    return ::testing::internal::GetCapturedStderr();
  }
  // Records up to `last`. What cannot be read is given up, as a lane does it.
  size_t readable(Seq last) {
    size_t count = 0;
    for (Seq from = 1; from <= last;) {
      const auto segment = read_now(*spool_, lane_, from);
      if (segment && *segment == nullptr) break;
      SeqRange range = spool_->segment_range(lane_, from);
      if (segment) {
        range = {(*segment)->first(), (*segment)->last()};
        Seq seq = range.first;
        for (const auto& body : bodies_of(**segment)) {
          EXPECT_EQ(body, Feeder::body(lane_, seq++, 50));
          ++count;
        }
      } else {
        spool_->damaged(lane_, range.first, range.last, "its row is gone");
      }
      EXPECT_GE(range.last, from);
      from = std::max(range.last, from) + 1;
    }
    return count;
  }
  // And what becomes of the files they were in.
  void deliver_all() {
    spool_->acknowledge(lane_, spool_->state(lane_).next_seq - 1);
    ASSERT_TRUE(spool_->flush());
    EXPECT_TRUE(eventually([this] { return spool_->counters().older_files == 0; }));
  }
  // The records up to `last` were there, and the file has gone back: those that are left are
  // delivered, each of the others counts as damaged, no number comes again.
  void expect_gone_back_from(Seq last, const std::string& epoch) {
    const std::string said = opened_saying();
    EXPECT_NE(said.find("gone back in time"), std::string::npos) << said;
    EXPECT_NE(said.find("penstock spool repair"), std::string::npos) << said;
    open();
    EXPECT_NE(spool_->epoch(), epoch);
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.next_seq, last + 1);
    const size_t held = readable(last);
    EXPECT_LT(held, last) << "or nothing was tried";
    put(1);
    spool_->acknowledge(lane_, last + 10);
    ASSERT_TRUE(spool_->flush());
    const LaneState end = spool_->state(lane_);
    EXPECT_EQ(end.damaged, last - held);
    EXPECT_EQ(end.delivered(), held + 10);
    close();
  }

  std::atomic<int64_t> seconds_ = 1000;
};

TEST_F(SpoolLog, AfterACleanStopNoFrameCounts) {
  open();
  put(30);
  const size_t used = frames(slurp(log()));
  ASSERT_GT(used, 60U);
  const auto size = fs::file_size(log());
  close();
  const std::string bytes = slurp(log());
  EXPECT_EQ(bytes.size(), size);
  EXPECT_EQ(bytes.substr(0, kHeaderBytes), std::string(kHeaderBytes, '\0'));
  for (const size_t frame : {size_t{3}, used / 2, used - 1}) flip(frame);
  EXPECT_TRUE(fsck().empty());
  EXPECT_EQ(stored(options_.dir), 300U);
  open();
  EXPECT_EQ(read_all(*spool_, lane_).size(), 300U);
  put(1);
  close();
  EXPECT_EQ(stored(options_.dir), 310U);
  EXPECT_EQ(fs::file_size(log()), size);
}

// Whichever write or sync of a stop fails, and wherever it is cut off after that. A failed sync has
// lost the pages it was for.
TEST_F(SpoolLog, StaysWhenNotAllOfItCouldBeCopiedBack) {
  FaultVfs vfs;
  std::mt19937_64 random{test_seed()};
  std::vector<fs::path> cuts;
  const std::function<void()> cut = [&] {
    cuts.push_back(dir_.path() / ("cut" + std::to_string(cuts.size())));
    vfs.cut(options_.dir, cuts.back(), FaultVfs::Survives::kNothing, random);
    vfs.before_operation(1, cut);
  };
  int sites = 0;
  for (bool has_failed = true; has_failed; ++sites) {
    options_.dir = dir_.path() / ("stop" + std::to_string(sites));
    open();
    put(6);
    spool_->stop();
    const int before = vfs.operations();
    vfs.fail_operation(sites, FaultVfs::Fault::kIoError);
    vfs.before_operation(sites + 2, cut);
    spool_.reset();
    has_failed = vfs.operations() - before > sites;
    cut();
    vfs.before_operation(0, nullptr);
  }
  EXPECT_GT(sites, 5) << "or nothing was tried";
  for (const auto& dir : cuts) {
    options_.dir = dir;
    EXPECT_TRUE(fsck().empty()) << dir;
    EXPECT_EQ(stored(dir), 60U) << dir;
  }
}

// The database must be on the medium before the log is not.
TEST_F(SpoolLog, ACutAtAnyPointOfAStopLosesNothing) {
  FaultVfs vfs;
  std::mt19937_64 random{test_seed()};
  open();
  put(12);
  ASSERT_TRUE(at_rest());
  std::vector<fs::path> cuts;
  std::function<void()> cut = [&] {
    for (int mode = 0; mode < FaultVfs::kModes; ++mode) {
      cuts.push_back(dir_.path() / ("cut" + std::to_string(cuts.size())));
      vfs.cut_with_names(options_.dir, cuts.back(), static_cast<FaultVfs::Survives>(mode), random);
    }
    vfs.before_operation(1, cut);
  };
  vfs.before_operation(1, cut);
  close();
  vfs.before_operation(0, nullptr);
  EXPECT_GT(cuts.size(), size_t{20} * FaultVfs::kModes);
  for (const auto& dir : cuts) {
    SCOPED_TRACE(dir.filename().string());
    options_.dir = dir;
    EXPECT_TRUE(fsck().empty());
    open();
    EXPECT_EQ(read_all(*spool_, lane_).size(), 120U);
    EXPECT_EQ(spool_->state(lane_).damaged, 0U);
    close();
    fs::remove_all(dir);
  }
}

// What waits in it is moved, but not in one step.
TEST_F(SpoolLog, OfALargeFileThatIsReplacedCountsNoMoreEither) {
  FaultVfs vfs;
  options_.shrink_from_bytes = 256 << 10;
  open();
  for (int i = 0; i < 20; ++i) {
    feeder_->put(lane_, 5, 20000);
    ASSERT_TRUE(spool_->flush());
  }
  std::string header;
  watch_removals([&](const std::string& path) {
    if (path.ends_with("/1.db")) header = slurp(log()).substr(0, kHeaderBytes);
  });
  spool_->acknowledge(lane_, 100);
  ASSERT_TRUE(spool_->flush());
  EXPECT_TRUE(eventually([&] { return !fs::exists(options_.dir / "1.db"); }));
  ASSERT_TRUE(at_rest());
  watch_removals(nullptr);
  EXPECT_EQ(header, std::string(kHeaderBytes, '\0'));
  close();
}

TEST_F(SpoolLog, ThatEndsTooEarlyAfterAStopIsNoticed) {
  open();
  put(30);
  const std::string epoch = spool_->epoch();
  close_leaving_the_log();
  EXPECT_EQ(stored(options_.dir), 300U);
  EXPECT_TRUE(fsck().empty());
  flip(frames(slurp(log())) / 2);
  EXPECT_TRUE(names(fsck(), "gone back in time"));
  EXPECT_EQ(stored(repaired()), 300U) << "the database has them all";
  expect_gone_back_from(300, epoch);
  options_.dir = repaired();
  open();
  EXPECT_EQ(spool_->state(lane_).damaged, 0U) << "handed over to a lane of their own";
  close();
}

TEST_F(SpoolLog, ThatEndsTooEarlyAfterAKillIsNoticedAsFarAsTheCopyKnows) {
  open();
  put(20);
  copy_lanes();
  put(1);
  const std::string epoch = spool_->epoch();
  kill();
  EXPECT_EQ(stored(options_.dir), 210U);
  EXPECT_TRUE(fsck().empty());
  flip(frames(slurp(log())) / 2);
  EXPECT_TRUE(names(fsck(), "gone back in time"));
  EXPECT_EQ(stored(repaired()), 210U) << "the log has them all";
  expect_gone_back_from(200, epoch);
}

// The copy is older than what is lost.
TEST_F(SpoolLog, CommitsBehindItsEndAreNamed) {
  open();
  put(30);
  const std::string epoch = spool_->epoch();
  kill();
  fs::remove(options_.dir / "lanes");
  EXPECT_TRUE(fsck().empty());
  flip(frames(slurp(log())) / 2);
  EXPECT_TRUE(names(fsck(), "out of reach"));
  EXPECT_EQ(stored(repaired()), 300U);
  EXPECT_NE(opened_saying().find("penstock spool repair"), std::string::npos);
  open();
  EXPECT_NE(spool_->epoch(), epoch);
  EXPECT_LT(spool_->state(lane_).next_seq, 301U) << "nobody knows of them";
  put(1);
  close();
  EXPECT_EQ(stored(repaired()), 310U) << "the others in a lane of their own";
}

// What it had may be behind its end, whether somebody knows that it is missing or not. The file
// stays until a person has seen to it, however little room damaged ones have.
TEST_F(SpoolLog, ThatEndedTooEarlyIsKeptWithItsFile) {
  options_.quarantine_bytes = 1 << 10;
  open();
  put(20);
  copy_lanes();
  put(10);
  kill();
  flip(frames(slurp(log())) / 2);
  const fs::path broken = options_.dir;
  for (const bool is_known : {true, false}) {
    SCOPED_TRACE(is_known);
    options_.dir = dir_.path() / (is_known ? "with_copy" : "without");
    fs::copy(broken, options_.dir);
    if (!is_known) fs::remove(options_.dir / "lanes");
    open();
    const size_t held = readable(200);
    put(1);
    deliver_all();
    EXPECT_EQ(spool_->state(lane_).damaged, is_known ? 200 - held : 0);
    EXPECT_EQ(spool_->counters().kept_files, 1U);
    close();
    EXPECT_TRUE(fs::exists(options_.dir / "1.kept.db-wal"));
    EXPECT_TRUE(names(fsck(), "gone back in time"));
    EXPECT_EQ(stored(repaired()), 300 - held);
  }
}

// No frame of it counts, and so none is behind its end: only the copy knows.
TEST_F(SpoolLog, ThatIsHiddenByItsHeaderIsKeptWithItsFile) {
  options_.quarantine_bytes = 1 << 10;
  open();
  put(5);
  close();
  open();
  put(15);
  copy_lanes();
  put(10);
  kill();
  std::string bytes = slurp(log());
  bytes.at(kHeaderBytes - 1) ^= 1;
  spill(log(), bytes);
  open();
  EXPECT_EQ(readable(200), 50U);
  deliver_all();
  EXPECT_EQ(spool_->state(lane_).damaged, 150U);
  EXPECT_EQ(spool_->counters().kept_files, 1U);
  close();
  EXPECT_TRUE(fs::exists(options_.dir / "1.kept.db-wal"));
  EXPECT_EQ(stored(repaired()), 250U);
}

// Nobody asked whether it has gone back, since another file was in use.
TEST_F(SpoolLog, ThatEndsTooEarlyIsKeptWithAnOlderFileToo) {
  options_.quarantine_bytes = 1 << 10;
  std::optional<FaultVfs> vfs(std::in_place);
  open();
  put(20);
  vfs->fail_sync_of("1.db-wal");
  put(1);
  ASSERT_EQ(spool_->counters().rolls, 1U);
  close();
  vfs.reset();
  flip(frames(slurp(log())) / 2);
  open();
  const size_t held = readable(210);
  deliver_all();
  EXPECT_EQ(spool_->state(lane_).damaged, 210 - held);
  EXPECT_EQ(spool_->counters().kept_files, 1U);
  close();
  EXPECT_TRUE(fs::exists(options_.dir / "1.kept.db-wal"));
  EXPECT_EQ(stored(repaired()), 210 - held);
}

// A commit that was never acknowledged may be there as a whole but for one page.
TEST_F(SpoolLog, AReadThatFailsOnceDoesNotEndIt) {
  open();
  put(5);
  kill();
  ASSERT_EQ(commits_behind_log(log()), 0U);
  int failed = 0;
  for (int n = 0;; ++n, ++failed) {
    Sites sites(options_.dir);
    sites.fail(Call::kRead, n, EIO);
    EXPECT_EQ(commits_behind_log(log()), 0U) << "read " << n;
    if (sites.hit().empty()) break;
  }
  EXPECT_GT(failed, 10);
}

TEST_F(SpoolLog, ItsLastCommitAloneIsNone) {
  open();
  put(30);
  kill();
  fs::remove(options_.dir / "lanes");
  const std::string bytes = slurp(log());
  const auto at = [](size_t frame) { return kHeaderBytes + frame * kFrameBytes; };
  size_t last = frames(bytes) - 1;
  if (bytes.compare(at(last), 8, bytes, at(last - 1), 8) == 0) --last;  // written twice
  flip(last);
  EXPECT_LT(stored(options_.dir), 300U);
  EXPECT_TRUE(fsck().empty());
  flip(last);
  flip(0);
  EXPECT_FALSE(fsck().empty());
}

// One end of the log is before the pages that the first page counts, all of which the database has.
TEST_F(SpoolLog, WhatSqliteCallsMalformedIsNeverClean) {
  open();
  put(20, 60);
  close_leaving_the_log();
  fs::remove(options_.dir / "lanes");
  const size_t all = frames(slurp(log()));
  const fs::path sound = options_.dir;
  size_t missing = 0;
  for (size_t frame = 0; frame < all; ++frame) {
    SCOPED_TRACE(frame);
    options_.dir = dir_.path() / ("flip" + std::to_string(frame));
    fs::copy(sound, options_.dir);
    flip(frame);
    const auto findings = fsck();
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open_v2((options_.dir / "1.db").c_str(), &db, SQLITE_OPEN_READWRITE, "unix"),
              SQLITE_OK);
    const int code =
        sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_close(db);
    if (code == SQLITE_CORRUPT) {
      ++missing;
      EXPECT_TRUE(names(findings, "pages are missing"));
      EXPECT_EQ(stored(repaired()), 1200U);
      EXPECT_NE(opened_saying().find("penstock spool repair gets out of it"), std::string::npos);
    }
    fs::remove_all(options_.dir);
  }
  EXPECT_GT(missing, 3U) << "or nothing was tried";
}

}  // namespace
}  // namespace penstock::spool::testing
