// Power cuts at every single operation of what happens rarely: what is left of an old file is moved
// to the new one, an old file is removed, a large one is replaced, a ruined one is given up at
// start. After each cut everything promised is there, in the quarantine too.
#include <atomic>
#include <fstream>

#include "tests/crash/spool_cut_lab.h"

namespace penstock::spool::testing {
namespace {

class StepCuts : public ::testing::Test {
 protected:
  ~StepCuts() override { std::filesystem::remove_all(base_); }
  std::filesystem::path dir() const { return base_ / "spool"; }

  void open() {
    Options options = lab_options(dir());
    options.shrink_from_bytes = shrink_from_bytes_;
    if (shrink_from_bytes_ > 0) options.max_size_bytes *= 2;  // both files have room
    spool_ = open_or_die(options);
    watcher_ = std::make_unique<Watcher>();
    feeder_ = std::make_unique<Feeder>(*spool_);
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  // Durable on return, and promised.
  void put(LaneId lane, int count, size_t size = 300, bool refused = false) {
    auto records = feeder_->take(lane, count, size);
    const Seq last = records.back().seq;
    {
      const std::lock_guard lock(mutex_);
      if (refused) promise_.refused[lane].insert(records.front().seq);
    }
    if (refused) records.front().refusal = "refused";
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
    const std::lock_guard lock(mutex_);
    promise_.durable[lane] = last;
  }
  void acknowledge(LaneId lane) {
    const Seq up_to = spool_->state(lane).next_seq - 1;
    {
      const std::lock_guard lock(mutex_);
      promise_.acknowledged[lane] = up_to;
    }
    spool_->acknowledge(lane, up_to);
  }
  void cut_at_every_operation() {
    vfs_.before_operation(1, [this] {
      if (!cutting_) return;
      Cut cut;
      cut.dir = base_ / ("cut" + std::to_string(cuts_.size()));
      cut.mode = static_cast<FaultVfs::Survives>(random_() % FaultVfs::kModes);
      {
        const std::lock_guard lock(mutex_);
        cut.promise = promise_;
      }
      vfs_.cut_with_names(dir(), cut.dir, cut.mode, random_);
      cuts_.push_back(std::move(cut));
      cut_at_every_operation();
    });
  }
  void wait_for_one_file() {
    ASSERT_TRUE(eventually([&] { return spool_->counters().older_files == 0; }));
  }
  // A quarantined record is in some file, whatever was carried over.
  static std::set<std::pair<LaneId, Seq>> quarantine_in(const std::filesystem::path& dir) {
    std::set<std::pair<LaneId, Seq>> found;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() != ".db") continue;
      for (const auto& row : query(entry.path(),
                                   "PRAGMA locking_mode=exclusive; SELECT lane || ' ' || seq "
                                   "FROM quarantine WHERE length(record)>0")) {
        const auto space = row.find(' ');
        if (space == std::string::npos) continue;
        found.insert({static_cast<LaneId>(std::stoul(row)), std::stoull(row.substr(space))});
      }
    }
    return found;
  }
  void check_all() {
    cutting_ = false;
    close();
    vfs_.before_operation(0, nullptr);
    int with_two_files = 0;
    for (size_t i = 0; i < cuts_.size(); ++i) {
      const Cut& cut = cuts_[i];
      SCOPED_TRACE("cut " + std::to_string(i) + " of " + std::to_string(cuts_.size()) + ", mode " +
                   std::to_string(static_cast<int>(cut.mode)));
      with_two_files +=
          std::filesystem::exists(cut.dir / "1.db") && std::filesystem::exists(cut.dir / "2.db")
              ? 1
              : 0;
      const Verdict verdict = penstock::spool::testing::check(cut, false, i);
      EXPECT_FALSE(verdict.refused || verdict.lost) << verdict.what;
      const auto quarantine = quarantine_in(cut.dir);
      for (const auto& [lane, seqs] : cut.promise.refused) {
        const auto durable = cut.promise.durable.find(lane);
        for (const Seq seq : seqs) {
          if (durable == cut.promise.durable.end() || seq > durable->second) continue;
          EXPECT_TRUE(quarantine.contains({lane, seq})) << "lane " << lane << " seq " << seq;
        }
      }
      std::filesystem::remove_all(cut.dir);
      if (HasFailure()) return;
    }
    EXPECT_GT(with_two_files, 8) << "or nothing was tried";
  }

  const std::filesystem::path base_ = make_lab_dir();
  uint64_t shrink_from_bytes_ = 0;
  FaultVfs vfs_;
  std::mt19937_64 random_{test_seed()};  // of the spool thread while it cuts
  std::mutex mutex_;
  Promise promise_;
  std::vector<Cut> cuts_;
  std::atomic<bool> cutting_{true};
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Spool> spool_;
};

TEST_F(StepCuts, InsideAnEvacuation) {
  open();
  const LaneId a = spool_->lane({"r", "0"});
  const LaneId b = spool_->lane({"r", "1"});
  for (int i = 0; i < 20; ++i) put(i % 2 == 0 ? a : b, 2);
  vfs_.fail_sync_of("1.db-wal");
  cut_at_every_operation();  // it begins right after the roll
  put(a, 1);
  EXPECT_EQ(spool_->counters().rolls, 1U);
  wait_for_one_file();
  put(b, 1);
  EXPECT_EQ(spool_->state(a).pending(), 21U) << "they were moved";
  check_all();
}

TEST_F(StepCuts, InsideTheRemovalOfAnOldFile) {
  open();
  const LaneId a = spool_->lane({"r", "0"});
  const LaneId b = spool_->lane({"r", "1"});
  for (int i = 0; i < 60; ++i) put(i % 2 == 0 ? a : b, 2, 8000, i % 6 == 0);
  vfs_.fail_sync_of("1.db-wal");
  put(a, 1);
  EXPECT_EQ(spool_->counters().rolls, 1U);
  EXPECT_EQ(spool_->counters().older_files, 1U) << "too much is left to be moved";
  cut_at_every_operation();
  acknowledge(a);
  acknowledge(b);
  wait_for_one_file();
  put(b, 1);
  check_all();
}

// A backlog made the file large, and is gone but for one lane's rest.
TEST_F(StepCuts, InsideTheReplacementOfALargeFile) {
  shrink_from_bytes_ = 1 << 20;
  open();
  const LaneId a = spool_->lane({"r", "0"});
  const LaneId b = spool_->lane({"r", "1"});
  put(b, 2, 300, true);
  for (int i = 0; i < 20; ++i) put(a, 8, 8000);
  const std::string epoch = spool_->epoch();
  const auto large = std::filesystem::file_size(dir() / "1.db");
  EXPECT_EQ(spool_->counters().rolls, 0U) << "it is in use";
  cut_at_every_operation();
  acknowledge(a);
  ASSERT_TRUE(eventually([&] { return spool_->counters().rolls == 1; }));
  wait_for_one_file();
  put(b, 1);
  EXPECT_FALSE(std::filesystem::exists(dir() / "1.db"));
  EXPECT_LT(std::filesystem::file_size(dir() / "2.db"), large);
  EXPECT_EQ(spool_->epoch(), epoch) << "nothing was forgotten: no number is given out twice";
  EXPECT_EQ(spool_->state(b).pending(), 2U);
  check_all();
}

TEST_F(StepCuts, InsideASalvageAtStart) {
  open();
  const LaneId a = spool_->lane({"r", "0"});
  const LaneId b = spool_->lane({"r", "1"});
  for (int i = 0; i < 12; ++i) put(i % 2 == 0 ? a : b, 2, 300, i % 5 == 0);
  acknowledge(a);  // little enough is left to be moved
  close();
  const auto file = dir() / "1.db";
  query(file, "PRAGMA locking_mode=exclusive; PRAGMA wal_checkpoint(TRUNCATE)");
  const auto root =
      query(file,
            "PRAGMA locking_mode=exclusive; SELECT rootpage FROM sqlite_schema WHERE name='epoch'")
          .back();
  std::fstream(file, std::ios::in | std::ios::out | std::ios::binary)
      .seekp((std::stol(root) - 1) * 4096)
      .write(std::string(4096, '\xEE').data(), 4096);
  vfs_.adopt(dir());
  cut_at_every_operation();
  open();
  put(b, 1);
  put(a, 1);
  wait_for_one_file();
  put(b, 1);
  EXPECT_EQ(spool_->state(a).damaged, 0U);
  check_all();
}

}  // namespace
}  // namespace penstock::spool::testing
