// Power cuts while records are dropped, delivered and quarantined in turns: after every one of them
// each record at or below the cursor has exactly one fate, and it is the right one.
#include <atomic>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

using Survives = FaultVfs::Survives;

class DropCut : public ::testing::Test {
 protected:
  // What was true in memory at the moment of a cut, no earlier than what the disk can say.
  struct Cut {
    std::filesystem::path dir;
    Survives mode = Survives::kNothing;
    Seq committed = 0;
    std::set<Seq> acknowledged;
    uint64_t refused = 0;
  };

  DropCut() {
    options_.max_size_bytes = 4 << 20;
    options_.policies["drop"] = {OverflowPolicy::kDropOldest, 8.0, {}};
    options_.tail_bytes = 0;
  }
  void cut_now(Survives mode) {
    Cut cut;
    cut.dir = dir_.path() / ("cut" + std::to_string(cuts_.size()));
    cut.mode = mode;
    {
      const std::lock_guard lock(mutex_);
      cut.committed = committed_;
      cut.acknowledged = acknowledged_;
      cut.refused = refused_;
    }
    vfs_.cut(options_.dir, cut.dir, mode, random_);
    cuts_.push_back(std::move(cut));
  }
  void arm() {
    vfs_.before_write(1 + static_cast<int>(random_() % 90), [this] {
      cut_now(static_cast<Survives>(random_() % 6));
      arm();
    });
  }

  void acknowledge(Spool& spool, LaneId lane, Seq up_to) {
    const Seq cursor = spool.state(lane).cursor;
    {
      const std::lock_guard lock(mutex_);
      for (Seq seq = cursor + 1; seq <= up_to; ++seq) {
        if (!spool.decided(lane, {seq, seq})) acknowledged_.insert(seq);
      }
    }
    spool.acknowledge(lane, up_to);
  }

  void work(int commits) {
    Watcher watcher;
    auto spool = open_or_die(options_);
    const LaneId lane = spool->lane({"drop", "t"});
    watcher.durable_hook = [&](SourceId, uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      committed_ = up_to;
    };
    spool->start(watcher);
    Feeder feeder(*spool);
    arm();
    for (int i = 0; i < commits; ++i) {
      feeder.put(lane, 1 + static_cast<int>(random_() % 4), 500 + random_() % 4000);
      ASSERT_TRUE(spool->flush());
      const LaneState state = spool->state(lane);
      if (state.pending() == 0) continue;
      switch (random_() % 8) {
        case 0:
          acknowledge(*spool, lane, state.cursor + random_() % (state.pending() + 1));
          break;
        case 1:
          spool->quarantine(lane, state.cursor + 1 + random_() % state.pending(), "poison");
          break;
        case 2:
          ASSERT_TRUE(read_now(*spool, lane, state.cursor + 1));  // on its way: to be spared
          break;
        case 3:
          spool->rewound(lane, state.cursor + 1);
          break;
        default:
          break;
      }
      if (random_() % 4 == 0) {
        const std::lock_guard lock(mutex_);
        spool->turned_away(lane, 1);
        ++refused_;
      }
    }
    vfs_.before_write(0, nullptr);
    const LaneState end = spool->state(lane);
    EXPECT_GT(end.dropped_overflow, 10U) << "or nothing is tried";
    EXPECT_GT(end.delivered(), 10U);
    EXPECT_GT(end.quarantined, 5U);
    spool->stop();
  }

  // The VFS under test has no shared memory.
  static std::vector<std::string> rows(const std::filesystem::path& file, const std::string& sql) {
    auto all = query(file, "PRAGMA locking_mode=exclusive; " + sql);
    if (!all.empty()) all.erase(all.begin());
    return all;
  }

  void check(const Cut& cut) {
    SCOPED_TRACE("mode " + std::to_string(static_cast<int>(cut.mode)) + " in " +
                 cut.dir.filename().string());
    Options options = options_;
    options.dir = cut.dir;
    Watcher watcher;
    auto spool = open_or_die(options);
    const auto lanes = spool->lanes();
    if (lanes.size() < 2) {
      EXPECT_EQ(cut.committed, 0U);
      return;
    }
    const LaneState state = spool->state(1);
    spool->start(watcher);
    EXPECT_GE(state.next_seq, cut.committed + 1) << "lost what was called durable";
    EXPECT_EQ(state.damaged, 0U);
    EXPECT_LE(state.refused, cut.refused);
    EXPECT_EQ(state.next_seq - 1,
              state.delivered() + state.quarantined + state.dropped() + state.pending());
    const auto held = read_all(*spool, 1, state.cursor + 1);
    for (Seq seq = state.cursor + 1; seq < state.next_seq; ++seq) {
      EXPECT_TRUE(held.contains(seq) || spool->decided(1, {seq, seq}))
          << seq << " has no fate and no bytes";
    }
    spool->stop();
    spool.reset();
    std::set<Seq> decided;
    const auto file = cut.dir / "1.db";
    for (const auto& row : rows(file, "SELECT seq FROM quarantine"))
      decided.insert(std::stoull(row));
    uint64_t dropped = 0;
    for (const auto& row : rows(file, "SELECT first_seq || ' ' || last_seq FROM fate")) {
      const Seq first = std::stoull(row);
      const Seq last = std::stoull(row.substr(row.find(' ')));
      for (Seq seq = first; seq <= last; ++seq) {
        EXPECT_TRUE(decided.insert(seq).second) << seq << " has two fates";
        dropped += seq <= state.cursor ? 1 : 0;
      }
    }
    EXPECT_EQ(dropped, state.dropped_overflow);
    for (Seq seq = 1; seq <= state.cursor; ++seq) {
      EXPECT_TRUE(decided.contains(seq) || cut.acknowledged.contains(seq))
          << seq << " counts as delivered, but nobody has acknowledged it";
    }
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  FaultVfs vfs_;
  std::mt19937_64 random_{test_seed()};
  std::mutex mutex_;
  Seq committed_ = 0;
  std::set<Seq> acknowledged_;
  uint64_t refused_ = 0;
  std::vector<Cut> cuts_;
};

TEST_F(DropCut, EveryRecordHasExactlyOneFateWhateverTheMediumKept) {
  work(250);
  EXPECT_GT(cuts_.size(), 12U);
  for (const auto& cut : cuts_) {
    check(cut);
    std::filesystem::remove_all(cut.dir);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace penstock::spool::testing
