// Makes the bases of the corpus (corpus/README.md): spools of the engine as it is now, killed in
// the middle of their work or stopped. Not run by itself.
#include <optional>

#include "tests/crash/spool_corpus.h"
#include "tests/crash/spool_fault_vfs.h"

namespace penstock::spool::testing {
namespace {

class SpoolCorpusBase : public ::testing::Test {
 protected:
  void open(const std::string& base) {
    options_ = corpus_options(dir_.path() / "spool", base);
    options_.policies["aged"] = {OverflowPolicy::kBlock, {}, Millis(2'000)};
    options_.clock = clock_.reader();
    spool_ = open_or_die(options_);
    spool_->start(watcher_);
    feeder_.emplace(*spool_);
  }
  void put(LaneId lane, int count, size_t size, const std::string& refusal = {}) {
    std::vector<Pending> records;
    for (int i = 0; i < count; ++i) {
      Pending& record = records.emplace_back(feeder_->next(lane, 0, refusal));
      record.body = corpus_body(lane, record.seq, size);
      record.received_at_us = clock_.now().wall_us;
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }
  // A life in one file: rows in every table, small and large segments, with `large` of the latter.
  void live(int large) {
    const LaneId small[] = {spool_->lane({"r", "0"}), spool_->lane({"r", "1"})};
    const LaneId big = spool_->lane({"r", "big"});
    const LaneId aged = spool_->lane({"aged", "t"});
    for (int round = 0; round < 24; ++round) {
      for (const LaneId lane : small) put(lane, 3, 120);
      if (round % 8 == 3) put(small[round / 8 % 2], 1, 200, "refused");
      if (round % 8 == 4) put(kUnroutedLane, 1, 9000, "no route");
    }
    for (int i = 0; i < large; ++i) put(big, 1, 20'000);
    put(aged, 2, 50);
    const Seq expired = spool_->state(aged).next_seq - 1;
    clock_.pass(10);
    ASSERT_TRUE(eventually([&] { return spool_->state(aged).cursor == expired; }));
    put(aged, 1, 50);
    for (const LaneId lane : small) {
      spool_->quarantine(lane, spool_->state(lane).cursor + 2, "poison");
      spool_->acknowledge(lane, spool_->state(lane).cursor + 12);
    }
    ASSERT_TRUE(spool_->flush());
  }
  void roll(uint32_t from) {
    vfs_.fail_sync_of(std::to_string(from) + ".db-wal");
    ASSERT_NO_FATAL_FAILURE(put(spool_->lane({"r", "0"}), 1, 120));
    ASSERT_EQ(spool_->counters().rolls, from);
  }
  void expect_rows(uint32_t generation) {
    const auto copy = dir_.path() / "copy";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(options_.dir, copy);
    for (const char* table : {"seg", "quarantine", "fate", "epoch", "lane_state", "clock",
                              "seg_index", "index_state"}) {
      const auto rows = query(copy / (std::to_string(generation) + ".db"),
                              std::string("SELECT count(*) FROM ") + table);
      EXPECT_NE(rows, std::vector<std::string>{"0"}) << table << " of " << generation;
    }
  }
  void write() {
    const TempDir copy;  // as after kill -9
    std::filesystem::copy(options_.dir, copy.path(), std::filesystem::copy_options::recursive);
    pack(copy.path(), std::getenv("PENSTOCK_CORPUS_OUT"));
    spool_->stop();
    spool_.reset();
  }

  FaultVfs vfs_;
  TempDir dir_;
  HandClock clock_;
  Options options_;
  Watcher watcher_;
  std::unique_ptr<Spool> spool_;
  std::optional<Feeder> feeder_;
};

// Three files, two of them only read, three epochs.
TEST_F(SpoolCorpusBase, DISABLED_Rolled) {
  open("rolled1");
  for (uint32_t generation = 1; generation <= 3; ++generation) {
    ASSERT_NO_FATAL_FAILURE(live(30));
    if (generation == 3) break;
    ASSERT_NO_FATAL_FAILURE(roll(generation));
  }
  EXPECT_EQ(spool_->counters().older_files, 2U);
  for (uint32_t generation = 1; generation <= 3; ++generation) expect_rows(generation);
  write();
}

// A file that is only read, the active one, and a spare.
TEST_F(SpoolCorpusBase, DISABLED_WithASpare) {
  open("spare1");
  ASSERT_NO_FATAL_FAILURE(live(160));
  ASSERT_NO_FATAL_FAILURE(roll(1));
  ASSERT_NO_FATAL_FAILURE(live(4));
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(options_.dir / "3.db"); }));
  EXPECT_EQ(spool_->counters().older_files, 1U);
  write();
}

// One file, stopped. Its log at other moments, too: in the middle, with all records, and with all
// there is, as agents left it that did not retire it.
TEST_F(SpoolCorpusBase, DISABLED_Stopped) {
  open("stopped1");
  const auto log = options_.dir / "1.db-wal";
  ASSERT_NO_FATAL_FAILURE(live(4));
  SpoolFiles moments;
  moments[at_moment("1.db-wal", 1)] = slurp(log);
  const LaneId lane = spool_->lane({"r", "0"});
  for (int i = 0; i < 8; ++i) ASSERT_NO_FATAL_FAILURE(put(lane, 3, 120));
  moments[at_moment("1.db-wal", 2)] = slurp(log);
  spool_->stop();
  moments[at_moment("1.db-wal", 3)] = slurp(log);
  spool_.reset();
  pack(options_.dir, std::getenv("PENSTOCK_CORPUS_OUT"), moments);
}

TEST_F(SpoolCorpusBase, DISABLED_OneFile) {
  const TempDir dir;
  Watcher watcher;
  auto spool = open_or_die(corpus_options(dir.path(), "format1"));
  spool->start(watcher);
  std::optional<Feeder> feeder(std::in_place, *spool);
  for (int round = 0; round < 40; ++round) {
    const LaneId lane = spool->lane({"r", std::to_string(round % 3)});
    feeder->put(lane, 6, round % 5 == 0 ? 2000 : 300);
    if (round % 10 == 4) feeder->refuse(lane, "refused");
    ASSERT_TRUE(spool->flush());
    if (round % 10 == 9) spool->quarantine(lane, spool->state(lane).cursor + 2, "poison");
    if (round % 10 == 9) spool->acknowledge(lane, spool->state(lane).cursor + 6);
    if (round == 24) {  // the first part goes to the database, the rest stays in the WAL
      spool.reset();
      spool = open_or_die(corpus_options(dir.path(), "format1"));
      spool->start(watcher);
      feeder.emplace(*spool);
    }
  }
  const TempDir copy;
  std::filesystem::copy(dir.path(), copy.path(), std::filesystem::copy_options::recursive);
  pack(copy.path(), std::getenv("PENSTOCK_CORPUS_OUT"));
}

}  // namespace
}  // namespace penstock::spool::testing
