// Power cuts while records are dropped (for room and for age), refused, delivered and quarantined
// in turns, in one file and over rolls: after every one of them each record at or below the cursor
// has exactly one fate, and it is the right one, and the second ledger has forgotten nothing that
// was written.
#include <atomic>
#include <sstream>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

using Survives = FaultVfs::Survives;
constexpr LaneId kOldest = 1;  // drops its oldest, and what is too old
constexpr LaneId kNewest = 2;  // refuses its newest

enum class Kept { kQuarantined, kDropped, kAged };

// What the files of a spool at rest say became of the records of each lane.
class Fates {
 public:
  explicit Fates(const std::filesystem::path& dir) {
    std::map<uint32_t, std::filesystem::path, std::greater<>> newest_first;
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() == ".db")
        newest_first[static_cast<uint32_t>(std::stoul(entry.path().stem()))] = entry.path();
    }
    for (const auto& [number, file] : newest_first) read(file);
  }
  const std::map<Seq, Kept>& of(LaneId lane) { return found_[lane]; }

 private:
  // The VFS under test has no shared memory.
  static std::vector<std::string> rows(const std::filesystem::path& file, const std::string& sql) {
    auto all = query(file, "PRAGMA locking_mode=exclusive; " + sql);
    if (!all.empty()) all.erase(all.begin());
    return all;
  }
  void read(const std::filesystem::path& file) {
    // One in the making has no tables yet, a spare no epoch.
    if (rows(file, "SELECT 1 FROM sqlite_schema WHERE name='epoch'").empty() ||
        rows(file, "SELECT id FROM epoch").empty()) {
      return;
    }
    for (const auto& row : rows(file, "SELECT lane || ' ' || seq FROM quarantine")) {
      std::istringstream in(row);
      LaneId lane = 0;
      Seq seq = 0;
      in >> lane >> seq;
      note(lane, {seq, seq}, Kept::kQuarantined);
    }
    for (const auto& row : rows(file,
                                "SELECT lane || ' ' || first_seq || ' ' || last_seq || ' ' || "
                                "reason FROM fate")) {
      std::istringstream in(row);
      LaneId lane = 0;
      SeqRange range;
      std::string reason;
      in >> lane >> range.first >> range.last >> reason;
      note(lane, range, reason == "age" ? Kept::kAged : Kept::kDropped);
    }
    bound_.clear();
    for (const auto& row : rows(file, "SELECT lane || ' ' || first_seq FROM lane_state")) {
      std::istringstream in(row);
      LaneId lane = 0;
      in >> lane >> bound_[lane];
    }
    in_newer_ = found_;
    is_first_ = false;
  }
  // Of an older file, numbers that a newer one gave out are the rest of a failed commit.
  void note(LaneId lane, SeqRange range, Kept kept) {
    if (!is_first_ && (!bound_.contains(lane) || range.first >= bound_[lane])) return;
    for (Seq seq = range.first; seq <= range.last; ++seq) {
      const auto [it, is_new] = found_[lane].emplace(seq, kept);
      if (is_new) continue;
      EXPECT_TRUE(in_newer_[lane].contains(seq)) << seq << " has two fates in one file";
      EXPECT_EQ(it->second, kept) << seq << " has another fate in an older file";
    }
  }
  bool is_first_ = true;
  std::map<LaneId, Seq> bound_;
  std::map<LaneId, std::map<Seq, Kept>> found_;
  std::map<LaneId, std::map<Seq, Kept>> in_newer_;
};

class DropCut : public ::testing::TestWithParam<int> {
 protected:
  // What was true in memory at the moment of a cut, no earlier than what the disk can say.
  struct Cut {
    std::filesystem::path dir;
    Survives mode = Survives::kNothing;
    std::map<LaneId, Seq> committed;
    std::map<LaneId, std::set<Seq>> acknowledged;
    uint64_t refused = 0;
    uint64_t refused_on_disk = 0;
  };

  DropCut() {
    options_.max_size_bytes = 4 << 20;
    options_.policies["drop"] = {OverflowPolicy::kDropOldest, 8.0, Millis(5000)};
    options_.policies["newest"] = {OverflowPolicy::kDropNewest, 4.0, {}};
    options_.tail_bytes = 0;
    options_.clock = clock_.reader();  // a lock of its own: ours is held where the spool is asked
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
      cut.refused_on_disk = refused_on_disk_;
    }
    vfs_.cut_with_names(options_.dir, cut.dir, mode, cut_random_);
    cuts_.push_back(std::move(cut));
  }
  void arm() {
    vfs_.before_operation(1 + static_cast<int>(cut_random_() % 90), [this] {
      if (!cutting_) return;
      cut_now(static_cast<Survives>(cut_random_() % FaultVfs::kModes));
      arm();
    });
  }

  void acknowledge(Spool& spool, LaneId lane, Seq up_to) {
    const Seq cursor = spool.state(lane).cursor;
    {
      const std::lock_guard lock(mutex_);
      for (Seq seq = cursor + 1; seq <= up_to; ++seq) {
        if (!spool.decided(lane, {seq, seq})) acknowledged_[lane].insert(seq);
      }
    }
    spool.acknowledge(lane, up_to);
  }

  void put(Spool& spool, Feeder& feeder, LaneId lane) {
    if (spool.admit(lane) == Admission::kDrop) {
      const std::lock_guard lock(mutex_);
      spool.turned_away(lane, 1);
      ++refused_;
      return;
    }
    auto records = feeder.take(lane, 1 + static_cast<int>(random_() % 4), 500 + random_() % 4000);
    uint64_t refused = 0;
    {
      const std::lock_guard lock(mutex_);
      refused = refused_;
      for (auto& record : records) {
        record.received_at_us = clock_.now().wall_us;
        numbers_.emplace_back(record.lane, record.seq);
      }
    }
    ASSERT_EQ(spool.enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool.flush());
    const std::lock_guard lock(mutex_);
    refused_on_disk_ = refused;
  }

  void one_step(Spool& spool, LaneId lane) {
    const LaneState state = spool.state(lane);
    if (state.pending() == 0) return;
    switch (random_() % 8) {
      case 0:
        acknowledge(spool, lane, state.cursor + random_() % (state.pending() + 1));
        break;
      case 1:
        spool.quarantine(lane, state.cursor + 1 + random_() % state.pending(), "poison");
        break;
      case 2:
        (void)read_now(spool, lane, state.cursor + 1);  // on its way: to be spared
        break;
      case 3:
        spool.rewound(lane, state.cursor + 1);
        break;
      default:
        break;
    }
  }

  void work(int commits, int rolls) {
    Watcher watcher;
    auto spool = open_or_die(options_);
    ASSERT_EQ(spool->lane({"drop", "t"}), kOldest);
    ASSERT_EQ(spool->lane({"newest", "t"}), kNewest);
    watcher.durable_hook = [&](SourceId, uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      for (; covered_ < up_to; ++covered_)
        committed_[numbers_[covered_].first] = numbers_[covered_].second;
    };
    spool->start(watcher);
    Feeder feeder(*spool);
    arm();
    for (int i = 0; i < commits; ++i) {
      if (rolls > 0 && i % (commits / (rolls + 1)) == commits / (rolls + 1) - 1)
        vfs_.fail_sync_of(std::to_string(spool->counters().rolls + 1) + ".db-wal");
      const LaneId lane = random_() % 4 == 0 ? kNewest : kOldest;
      ASSERT_NO_FATAL_FAILURE(put(*spool, feeder, lane));
      one_step(*spool, lane);
      if (random_() % 30 == 0) clock_.pass(3);
    }
    cutting_ = false;
    const LaneState end = spool->state(kOldest);
    EXPECT_GE(spool->counters().rolls, static_cast<uint64_t>(rolls));
    // How many of each depends on the seed.
    EXPECT_GT(end.dropped() + end.delivered() + end.quarantined + spool->state(kNewest).refused,
              20U)
        << "or nothing is tried";
    spool->stop();
    vfs_.before_operation(0, nullptr);
    vfs_.fail_sync_of("");  // or a file of that name which a look at a cut makes would fail
  }

  void check(const Cut& cut) {
    SCOPED_TRACE("mode " + std::to_string(static_cast<int>(cut.mode)) + " in " +
                 cut.dir.filename().string());
    Options options = options_;
    options.dir = cut.dir;
    options.policies.clear();  // nothing is dropped while it is looked at
    Watcher watcher;
    auto spool = open_or_die(options);
    EXPECT_EQ(spool->counters().kept_files, 0U) << "every file is in its place";
    const auto lanes = spool->lanes();
    spool->start(watcher);
    std::map<LaneId, LaneState> states;
    for (const auto& state : lanes) {
      if (state.id == kUnroutedLane) continue;
      states[state.id] = state;
      check_lane(*spool, state, cut);
    }
    for (const auto& [lane, last] : cut.committed) EXPECT_TRUE(states.contains(lane));
    spool->stop();
    spool.reset();
    Fates fates(cut.dir);
    for (const auto& [lane, state] : states) check_fates(fates, state, cut);
  }

  static Seq known(const std::map<LaneId, Seq>& seqs, LaneId lane) {
    const auto found = seqs.find(lane);
    return found == seqs.end() ? 0 : found->second;
  }

  void check_lane(Spool& spool, const LaneState& state, const Cut& cut) {
    EXPECT_GE(state.next_seq, known(cut.committed, state.id) + 1) << "lost what was durable";
    EXPECT_EQ(state.damaged, 0U);
    EXPECT_EQ(state.next_seq - 1,
              state.delivered() + state.quarantined + state.dropped() + state.pending());
    if (state.id == kNewest) {
      EXPECT_LE(state.refused, cut.refused);
      EXPECT_GE(state.refused, cut.refused_on_disk) << "the second ledger has forgotten";
    }
    const auto held = read_all(spool, state.id, state.cursor + 1);
    for (Seq seq = state.cursor + 1; seq < state.next_seq; ++seq) {
      EXPECT_TRUE(held.contains(seq) || spool.decided(state.id, {seq, seq}))
          << seq << " has no fate and no bytes";
    }
    for (const auto& [seq, body] : held)
      EXPECT_EQ(body, Feeder::body(state.id, seq, body.size())) << seq;
  }

  void check_fates(Fates& fates, const LaneState& state, const Cut& cut) {
    uint64_t counts[3] = {};
    const auto& decided = fates.of(state.id);
    const auto acknowledged = cut.acknowledged.find(state.id);
    for (Seq seq = 1; seq <= state.cursor; ++seq) {
      const auto found = decided.find(seq);
      if (found != decided.end()) ++counts[static_cast<size_t>(found->second)];
      EXPECT_TRUE(found != decided.end() ||
                  (acknowledged != cut.acknowledged.end() && acknowledged->second.contains(seq)))
          << seq << " counts as delivered, but nobody has acknowledged it";
    }
    EXPECT_EQ(counts[0], state.quarantined) << "lane " << state.id;
    EXPECT_EQ(counts[1], state.dropped_overflow) << "lane " << state.id;
    EXPECT_EQ(counts[2], state.dropped_age) << "lane " << state.id;
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  FaultVfs vfs_;
  std::mt19937_64 random_{test_seed()};
  std::mt19937_64 cut_random_{random_()};  // of the spool thread, once armed
  std::mutex mutex_;
  HandClock clock_;
  std::vector<std::pair<LaneId, Seq>> numbers_;  // by source_seq - 1
  uint64_t covered_ = 0;
  std::map<LaneId, Seq> committed_;
  std::map<LaneId, std::set<Seq>> acknowledged_;
  uint64_t refused_ = 0;
  uint64_t refused_on_disk_ = 0;
  std::vector<Cut> cuts_;
  std::atomic<bool> cutting_{true};
};

TEST_P(DropCut, EveryRecordHasExactlyOneFateWhateverTheMediumKept) {
  ASSERT_NO_FATAL_FAILURE(work(250, GetParam()));
  EXPECT_GT(cuts_.size(), 12U);
  for (const auto& cut : cuts_) {
    check(cut);
    std::filesystem::remove_all(cut.dir);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Rolls, DropCut, ::testing::Values(0, 2));

}  // namespace
}  // namespace penstock::spool::testing
