// One I/O operation fails, once, and it may be any: nothing promised is lost, nothing is called
// durable that is not, and the spool opens again.
#include <cstdlib>

#include "tests/crash/spool_cut_lab.h"

namespace penstock::spool::testing {
namespace {

using Fault = FaultVfs::Fault;

class SpoolIoFault : public ::testing::TestWithParam<Fault> {
 protected:
  ~SpoolIoFault() override { std::filesystem::remove_all(lab_); }

  // Creation, commits, removals, a checkpoint and a clean end. Returns what was called durable.
  static Seq work(const std::filesystem::path& dir) {
    auto opened = Spool::open(lab_options(dir), Log::none());
    if (!opened) return 0;
    auto& spool = **opened;
    Watcher watcher;
    spool.start(watcher);
    const LaneId lane = spool.lane({"r", "t"});
    Feeder feeder(spool);
    for (int i = 0; i < 14; ++i) {
      if (spool.enqueue(feeder.take(lane, 3, i % 3 == 0 ? 40000 : 300)) != Enqueue::kTaken) break;
      if (!spool.flush() && !watcher.faults().empty()) break;
      if (i % 4 == 3) spool.acknowledge(lane, spool.state(lane).next_seq - 4);
    }
    spool.stop();
    return watcher.durable(1);
  }

  // 0 when the spool does not open; else one more than the records that can be read, none missing
  // between the cursor and the end.
  static Seq end_of(const std::filesystem::path& dir) {
    auto opened = Spool::open(lab_options(dir), Log::none());
    if (!opened) {
      ADD_FAILURE() << opened.error().what;
      return 0;
    }
    Watcher watcher;
    (*opened)->start(watcher);
    const LaneId lane = (*opened)->lane({"r", "t"});
    const LaneState state = (*opened)->state(lane);
    EXPECT_EQ(state.damaged, 0U);
    const auto held = read_all(**opened, lane, state.cursor + 1);
    EXPECT_EQ(std::distance(held.upper_bound(state.cursor), held.end()),
              static_cast<ptrdiff_t>(state.pending()));
    (*opened)->stop();
    return state.next_seq;
  }

  const std::filesystem::path lab_ = make_lab_dir();
};

TEST_P(SpoolIoFault, AtEverySiteLosesNothingPromised) {
  int sites = 0;
  {
    FaultVfs vfs;
    EXPECT_EQ(work(lab_ / "whole"), 42U);
    sites = vfs.operations();
  }
  ASSERT_GT(sites, 100);
  // All of them when asked for, else a sample that begins elsewhere each time.
  const int step = std::getenv("PENSTOCK_POWER_CUTS") != nullptr ? 1 : std::max(1, sites / 40);
  std::mt19937_64 random(test_seed());
  for (int site = static_cast<int>(random() % static_cast<uint64_t>(step)); site < sites;
       site += step) {
    SCOPED_TRACE("operation " + std::to_string(site) + " of " + std::to_string(sites));
    const auto dir = lab_ / std::to_string(site);
    const auto medium = lab_ / (std::to_string(site) + "-medium");
    Seq durable = 0;
    {
      FaultVfs vfs;
      vfs.fail_operation(site, GetParam());
      durable = work(dir);
      vfs.cut(dir, medium, FaultVfs::Survives::kNothing, random);
    }
    EXPECT_GE(end_of(dir), durable + 1) << "after a restart of the program";
    EXPECT_GE(end_of(medium), durable + 1) << "after a power cut";
    std::filesystem::remove_all(dir);
    std::filesystem::remove_all(medium);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SpoolIoFault, ::testing::Values(Fault::kIoError, Fault::kNoSpace),
                         [](const auto& kind) {
                           return kind.param == Fault::kIoError ? "IoError" : "NoSpace";
                         });

// A race in one order only: the lane's row is planned, the record refused, the row written.
TEST(SpoolIoOrder, ARefusalDuringTheWriteOfItsLanesRowIsOnDiskAfterTheStop) {
  FaultVfs vfs;
  const TempDir dir;
  const Options options = lab_options(dir.path());
  LaneId lane = 0;
  {
    auto spool = open_or_die(options);
    Watcher watcher;
    spool->start(watcher);
    lane = spool->lane({"r", "t"});
    Feeder(*spool).put(lane, 9);
    ASSERT_TRUE(spool->flush());
    vfs.before_write(1, [&] { spool->quarantine(lane, 5, "poison"); });
    spool->acknowledge(lane, 1);
    ASSERT_TRUE(spool->flush());
    spool->stop();
  }
  auto spool = open_or_die(options);
  EXPECT_EQ(spool->state(lane).cursor, 1U);
  EXPECT_TRUE(spool->decided(lane, {5, 5}));
}

}  // namespace
}  // namespace penstock::spool::testing
