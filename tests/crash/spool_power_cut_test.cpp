// Power cuts at random writes, with six ideas of what the medium kept, and disks that fail.
#include <atomic>
#include <thread>

#include "agent/spool/seq_ranges.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

using Survives = FaultVfs::Survives;

// What was promised at the moment of a cut, and where its remains are.
struct Cut {
  std::filesystem::path dir;
  Survives mode = Survives::kNothing;
  std::map<LaneId, Seq> committed;  // of what on_durable had covered
};

class PowerCut : public ::testing::Test {
 protected:
  PowerCut() {
    options_.max_size_bytes = 4 << 20;  // a small WAL, so that checkpoints are among what is cut
  }

  // Called on the spool thread, in the middle of a write.
  void cut_now(Survives mode) {
    Cut cut;
    cut.dir = dir_.path() / ("cut" + std::to_string(cuts_.size()));
    cut.mode = mode;
    {
      const std::lock_guard lock(mutex_);
      cut.committed = promised_;
    }
    vfs_.cut(options_.dir, cut.dir, mode, random_);
    cuts_.push_back(std::move(cut));
  }

  void arm() {
    vfs_.before_write(1 + static_cast<int>(random_() % 60), [this] {
      cut_now(static_cast<Survives>(random_() % 6));
      arm();
    });
  }

  // Commits, acknowledgements and quarantine in random order, with cuts between.
  void work(int commits) {
    Watcher watcher;
    auto spool = open_or_die(options_);
    const std::vector<LaneId> lanes{spool->lane({"r", "a"}), spool->lane({"r", "b"})};
    std::map<uint64_t, std::pair<LaneId, Seq>> numbers;  // by source_seq
    uint64_t covered = 0;
    watcher.durable_hook = [&](SourceId, uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      for (; covered < up_to; ++covered)
        promised_[numbers[covered + 1].first] = numbers[covered + 1].second;
    };
    spool->start(watcher);
    Feeder feeder(*spool);
    arm();
    for (int i = 0; i < commits; ++i) {
      const LaneId lane = lanes[random_() % lanes.size()];
      auto records = feeder.take(lane, 1 + static_cast<int>(random_() % 20), 40 + random_() % 900);
      if (random_() % 10 == 0) records.front().refusal = "refused";
      {
        const std::lock_guard lock(mutex_);
        for (const auto& record : records) numbers[record.source_seq] = {record.lane, record.seq};
      }
      ASSERT_EQ(spool->enqueue(std::move(records)), Enqueue::kTaken);
      ASSERT_TRUE(spool->flush());
      const Seq behind = spool->state(lane).next_seq - 1;
      const Seq up_to = behind > 60 ? behind - 60 : 0;
      if (random_() % 5 == 0 && up_to > spool->state(lane).cursor)
        spool->quarantine(lane, up_to, "poison");
      spool->acknowledge(lane, up_to);
    }
    spool->stop();
  }

  bool loses_records(const Cut& cut) {
    Options options = options_;
    options.dir = cut.dir;
    const auto opened = Spool::open(options, Log::none());
    if (!opened) return true;
    for (const auto& [lane, last] : cut.committed) {
      const LaneState state = (*opened)->state(lane);
      if (state.next_seq <= last || state.damaged != 0) return true;
    }
    return false;
  }

  void check(const Cut& cut) {
    SCOPED_TRACE("mode " + std::to_string(static_cast<int>(cut.mode)) + " in " +
                 cut.dir.filename().string());
    Options options = options_;
    options.dir = cut.dir;
    Watcher watcher;
    auto opened = Spool::open(options, Log::none());
    ASSERT_TRUE(opened) << opened.error().what;
    auto& spool = **opened;
    spool.start(watcher);
    for (const auto& [lane, last] : cut.committed) {
      const LaneState state = spool.state(lane);
      EXPECT_GE(state.next_seq, last + 1) << "lane " << lane << " lost what was called durable";
      EXPECT_EQ(state.damaged, 0U);
      const auto held = read_all(spool, lane, state.cursor + 1);
      for (const auto& [seq, body] : held) EXPECT_EQ(body, Feeder::body(lane, seq, body.size()));
      check_ledger(cut.dir, spool, state, held);
    }
    spool.stop();
  }

  // Every number is delivered, pending in a segment, or in quarantine.
  static void check_ledger(const std::filesystem::path&, Spool& spool, const LaneState& state,
                           const std::map<Seq, std::string>& held) {
    EXPECT_LE(state.cursor, state.next_seq - 1);
    uint64_t pending = 0;
    for (const auto& [seq, body] : held) pending += seq > state.cursor ? 1 : 0;
    spool.acknowledge(state.id, state.next_seq - 1);
    const LaneState end = spool.state(state.id);
    EXPECT_EQ(end.delivered() - state.delivered() + (end.quarantined - state.quarantined),
              state.pending());
    EXPECT_LE(end.delivered() - state.delivered(), pending);
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  FaultVfs vfs_;
  std::mt19937_64 random_{test_seed()};
  std::mutex mutex_;
  std::map<LaneId, Seq> promised_;
  std::vector<Cut> cuts_;
};

TEST_F(PowerCut, NothingCalledDurableIsLostWhateverTheMediumKept) {
  work(220);
  vfs_.before_write(0, nullptr);
  EXPECT_GT(cuts_.size(), 40U);
  for (const auto& cut : cuts_) {
    check(cut);
    std::filesystem::remove_all(cut.dir);
    if (HasFatalFailure()) return;
  }
}

// The control: on a disk that lies about syncs the same cuts must show losses, or they would prove
// nothing.
TEST_F(PowerCut, CutsOnADiskThatLiesDoLoseRecords) {
  open_or_die(options_).reset();
  vfs_.lie_about_syncs();
  work(60);
  vfs_.before_write(0, nullptr);
  ASSERT_GT(cuts_.size(), 5U);
  size_t lost = 0;
  for (const auto& cut : cuts_) lost += loses_records(cut) ? 1 : 0;
  EXPECT_GE(lost * 20, cuts_.size()) << lost << " of " << cuts_.size() << " cuts";
}

// P1 on the medium: of all writes only those that were synced, at the very moment of on_durable.
TEST_F(PowerCut, WhatIsCalledDurableIsSynced) {
  Watcher watcher;
  auto spool = open_or_die(options_);
  const LaneId lane = spool->lane({"r", "t"});
  int seen = 0;
  watcher.durable_hook = [&](SourceId, uint64_t up_to) {
    const TempDir copy;
    vfs_.cut(options_.dir, copy.path(), Survives::kNothing, random_);
    EXPECT_EQ(open_or_die(options_in(copy.path()))->state(lane).next_seq, up_to + 1);
    ++seen;
  };
  spool->start(watcher);
  Feeder feeder(*spool);
  for (int i = 0; i < 10; ++i) {
    feeder.put(lane, 2);
    ASSERT_TRUE(spool->flush());
  }
  spool->stop();
  EXPECT_EQ(seen, 10);
}

TEST_F(PowerCut, ACommitCostsOneSync) {
  Watcher watcher;
  auto spool = open_or_die(options_);
  spool->start(watcher);
  Feeder feeder(*spool);
  const int before = vfs_.syncs();
  for (int i = 0; i < 10; ++i) {
    feeder.put(spool->lane({"r", std::to_string(i % 2)}), 2);
    ASSERT_TRUE(spool->flush());
  }
  EXPECT_EQ(vfs_.syncs() - before, 10);
  spool->stop();
}

// The disk itself is full, in spite of our quota.
TEST_F(PowerCut, ADiskWithoutRoomKeepsEverythingUntilItHasRoom) {
  Watcher watcher;
  auto spool = open_or_die(options_);
  spool->start(watcher);
  Feeder feeder(*spool);
  const LaneId lane = spool->lane({"r", "t"});
  feeder.put(lane, 3, 2000);
  ASSERT_TRUE(spool->flush());
  vfs_.set_disk_full(true, true);
  feeder.put(lane, 3, 2000);
  const auto flushed = spool->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().kind, ErrorKind::kFull) << flushed.error().what;
  EXPECT_EQ(watcher.durable(1), 3U);
  EXPECT_EQ(read_all(*spool, lane).size(), 3U);
  spool->acknowledge(lane, 2);
  EXPECT_FALSE(spool->flush());
  vfs_.set_disk_full(false);
  EXPECT_TRUE(watcher.wait_durable(1, 6)) << "tried again by itself";
  EXPECT_TRUE(watcher.faults().empty());
  EXPECT_EQ(read_all(*spool, lane, 4).size(), 3U);
  spool->stop();
}

// On a disk with not one block left, what was allocated beforehand is enough to trim and to go on.
TEST_F(PowerCut, OnADiskFilledByOthersTheSpoolStillTrimsAndCommits) {
  Watcher watcher;
  auto spool = open_or_die(options_);
  spool->start(watcher);
  Feeder feeder(*spool);
  const LaneId lane = spool->lane({"r", "t"});
  for (int i = 0; i < 60; ++i) {
    feeder.put(lane, 1, 20000);
    ASSERT_TRUE(spool->flush());
  }
  spool->acknowledge(lane, 60);
  ASSERT_TRUE(spool->flush());
  vfs_.set_disk_full(true);  // files may be written, but not grow
  for (int round = 0; round < 20; ++round) {
    feeder.put(lane, 5, 20000);
    ASSERT_TRUE(spool->flush()) << "round " << round;
    spool->acknowledge(lane, spool->state(lane).next_seq - 1);
    ASSERT_TRUE(spool->flush());
  }
  spool->stop();
  EXPECT_TRUE(watcher.faults().empty());
}

TEST_F(PowerCut, AReadErrorIsReportedForItsRecordsAndIsNoFault) {
  Watcher watcher;
  LaneId lane = 0;
  for (int time = 0; time < 2; ++time) {
    auto spool = open_or_die(options_);
    spool->start(watcher);
    lane = spool->lane({"r", "t"});
    if (time == 0) {
      Feeder feeder(*spool);
      for (int i = 0; i < 2; ++i) {
        feeder.put(lane, 5, 20000);
        ASSERT_TRUE(spool->flush());
      }
    } else {
      vfs_.fail_reads(true);
      const auto failed = read_now(*spool, lane, 1);
      ASSERT_FALSE(failed) << "nothing of it was cached";
      EXPECT_EQ(failed.error().kind, ErrorKind::kTransient) << "it may pass";
      EXPECT_NE(failed.error().what.find("records 1..5"), std::string::npos) << failed.error().what;
      vfs_.fail_reads(false);
      EXPECT_EQ(read_all(*spool, lane).size(), 10U);
      spool->stop();
      options_.salvage_wait = Millis(0);
      spool.reset();
      spool = open_or_die(options_);
      spool->start(watcher);
      vfs_.fail_reads(true);
      const auto given_up = read_now(*spool, lane, 1);
      ASSERT_FALSE(given_up);
      EXPECT_EQ(given_up.error().kind, ErrorKind::kCorrupt) << "not for ever";
      vfs_.fail_reads(false);
    }
    spool->stop();
  }
  EXPECT_TRUE(watcher.faults().empty());
}

}  // namespace
}  // namespace penstock::spool::testing
