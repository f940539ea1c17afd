// From one file to the next: nothing acknowledged is lost, nothing goes out under a wrong name,
// whatever fails and whenever the power goes.
#include <fstream>
#include <optional>

#include "agent/spool/lanes_file.h"
#include "agent/spool/offline_repair.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/crash/spool_stuck_files.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

using Survives = FaultVfs::Survives;

std::set<std::string> databases(const std::filesystem::path& dir) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".db")) names.insert(name);
  }
  return names;
}

// The page with the root of `table`, overwritten.
void ruin_root(const std::filesystem::path& file, const std::string& table) {
  query(file, "PRAGMA wal_checkpoint(TRUNCATE)");
  const auto root =
      std::stol(query(file, "SELECT rootpage FROM sqlite_schema WHERE name='" + table + "'").at(0));
  std::fstream database(file, std::ios::in | std::ios::out | std::ios::binary);
  database.seekp((root - 1) * 4096).write(std::string(4096, '\xEE').data(), 4096);
}

class SpoolRoll : public ::testing::Test {
 protected:
  SpoolRoll() {
    options_.max_size_bytes = 128 << 20;
    options_.tail_bytes = 16 << 10;
  }
  void open() {
    spool_ = open_or_die(options_);
    watcher_ = std::make_unique<Watcher>();
    watcher_->durable_hook = [this](SourceId, uint64_t up_to) {
      const std::lock_guard lock(mutex_);
      for (; covered_ < up_to; ++covered_) {
        const auto& [lane, seq] = numbers_[covered_ + 1];
        epochs_[lane][seq] = spool_->epoch();
      }
    };
    feeder_ = std::make_unique<Feeder>(*spool_);
    numbers_.clear();
    covered_ = 0;
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  void put(LaneId lane, int count, size_t size = 300, bool refused = false) {
    auto records = feeder_->take(lane, count, size);
    if (refused) records.front().refusal = "refused";
    {
      const std::lock_guard lock(mutex_);
      for (const auto& record : records) {
        numbers_[record.source_seq] = {record.lane, record.seq};
        if (!record.refusal.empty()) refused_[lane].insert(record.seq);
      }
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  }
  // Everything that was called durable and is pending comes back as it was, under the epoch it was
  // called durable in.
  void expect_all(LaneId lane) {
    const LaneState state = spool_->state(lane);
    EXPECT_EQ(state.next_seq, epochs_[lane].rbegin()->first + 1);
    EXPECT_EQ(state.damaged, 0U);
    std::set<Seq> seen;
    for (Seq from = state.cursor + 1;;) {
      const auto segment = read_now(*spool_, lane, from);
      ASSERT_TRUE(segment) << segment.error().what;
      if (*segment == nullptr) break;
      Seq seq = (*segment)->first();
      for (const auto& body : bodies_of(**segment)) {
        ASSERT_EQ(body, Feeder::body(lane, seq, body.size()));
        ASSERT_NE((*segment)->origin(), nullptr);
        EXPECT_EQ((*segment)->origin()->epoch, epochs_[lane][seq]) << "record " << seq;
        seen.insert(seq++);
      }
      from = seq;
    }
    for (Seq seq = state.cursor + 1; seq < state.next_seq; ++seq)
      EXPECT_NE(seen.contains(seq), refused_[lane].contains(seq)) << "lane " << lane << " " << seq;
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path() / "spool");
  std::mutex mutex_;
  std::map<uint64_t, std::pair<LaneId, Seq>> numbers_;  // by source_seq
  uint64_t covered_ = 0;
  std::map<LaneId, std::map<Seq, std::string>> epochs_;  // what it was called durable in
  std::map<LaneId, std::set<Seq>> refused_;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Feeder> feeder_;
};

// P5 at every write and every sync of a small life, checkpoints included.
TEST_F(SpoolRoll, AFaultAnywhereGoesOnInTheNextFileInTheSameRun) {
  for (const bool is_write : {false, true}) {
    for (int position = 0; position < (is_write ? 90 : 30); position += is_write ? 7 : 3) {
      SCOPED_TRACE((is_write ? "write " : "sync ") + std::to_string(position));
      FaultVfs vfs;
      const TempDir dir;
      options_.dir = dir.path() / "spool";
      options_.max_size_bytes = position % 2 == 0 ? 128 << 20 : 8 << 20;  // with a spare, without
      epochs_.clear();
      refused_.clear();
      open();
      const LaneId a = spool_->lane({"r", "a"});
      const LaneId b = spool_->lane({"r", "b"});
      if (is_write) {
        vfs.fail_write_after(position);
      } else {
        vfs.fail_sync_after(position);
      }
      for (int i = 0; i < 30; ++i) {
        put(i % 3 == 0 ? a : b, 3, 2000, i % 7 == 0);
        ASSERT_TRUE(spool_->flush()) << "at commit " << i;
        if (i == 10) spool_->acknowledge(b, spool_->state(b).next_seq - 3);
        if (i == 12) spool_->quarantine(a, spool_->state(a).next_seq - 1, "poison");
      }
      EXPECT_EQ(spool_->counters().rolls, 1U);
      EXPECT_TRUE(watcher_->faults().empty());
      EXPECT_EQ(vfs.writes_after_failure(), 0);
      const auto epochs = epochs_;
      for (int time = 0; time < 2; ++time) {
        epochs_ = epochs;
        expect_all(a);
        expect_all(b);
        if (time == 1) break;
        close();
        open();
      }
      spool_->acknowledge(a, spool_->state(a).next_seq - 1);
      EXPECT_EQ(spool_->state(a).quarantined, refused_[a].size() + 1);
      close();
      EXPECT_EQ(vfs.writes_after_failure(), 0);
      if (HasFailure()) return;
    }
  }
}

TEST_F(SpoolRoll, TheOldFileGoesOnceNothingInItIsNeededAndItsQuarantineIsKept) {
  std::optional<FaultVfs> vfs(std::in_place);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 200; ++i) put(lane, 5, 4000);
  ASSERT_TRUE(spool_->flush());
  spool_->quarantine(lane, 2, "poison");
  ASSERT_TRUE(spool_->flush());
  vfs->fail_sync_after(0);
  put(lane, 5);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->counters().rolls, 1U);
  EXPECT_TRUE(databases(options_.dir).contains("1.db")) << "its records are not delivered yet";
  expect_all(lane);
  spool_->acknowledge(lane, 1000);
  EXPECT_TRUE(eventually([&] { return !databases(options_.dir).contains("1.db"); }));
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(options_.dir / "1.db-wal"); }));
  EXPECT_TRUE(eventually([&] { return databases(options_.dir).size() == 2; })) << "a new spare";
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  close();
  vfs.reset();
  EXPECT_EQ(query(options_.dir / "2.db", "SELECT seq, reason FROM quarantine"),
            std::vector<std::string>{"2|poison"});
  open();
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  EXPECT_EQ(spool_->state(lane).cursor, 1000U);
  EXPECT_EQ(spool_->state(lane).next_seq, 1006U);
}

TEST_F(SpoolRoll, ANearlyEmptyOldFileIsMovedIntoTheNewOne) {
  FaultVfs vfs;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 40; ++i) {
    put(lane, 5, 300);
    ASSERT_TRUE(spool_->flush());
  }
  vfs.fail_sync_after(0);
  put(lane, 5);
  ASSERT_TRUE(spool_->flush());
  EXPECT_TRUE(eventually([&] { return !databases(options_.dir).contains("1.db"); }));
  const auto epochs = epochs_;
  for (int time = 0; time < 2; ++time) {
    expect_all(lane);
    close();
    open();
    epochs_ = epochs;
  }
  close();
}

// A filesystem that turned read-only: said once, tried again, and all is well once it can be
// written.
TEST_F(SpoolRoll, WhenNoFileCanBeWrittenItSaysSoOnceAndGoesOnTrying) {
  FaultVfs vfs;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  put(lane, 3);
  ASSERT_TRUE(spool_->flush());
  vfs.set_read_only(true);
  put(lane, 3);
  EXPECT_FALSE(spool_->flush());
  ASSERT_TRUE(watcher_->wait([](Watcher& w) { return w.faults_.size() == 1; }));
  EXPECT_FALSE(spool_->flush());
  EXPECT_EQ(watcher_->durable(1), 3U);
  EXPECT_EQ(read_all(*spool_, lane).size(), 3U) << "reads go on";
  vfs.set_read_only(false);
  EXPECT_TRUE(watcher_->wait_durable(1, 6)) << "by itself";
  put(lane, 1);
  EXPECT_TRUE(spool_->flush());
  EXPECT_EQ(watcher_->faults().size(), 1U);
  expect_all(lane);
  close();
}

TEST_F(SpoolRoll, ASpareMakesARollPossibleOnAFullDisk) {
  FaultVfs vfs;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  put(lane, 3);
  ASSERT_TRUE(spool_->flush());
  vfs.set_disk_full(true);  // files may be written, but not grow
  vfs.fail_sync_of("1.db-wal");
  put(lane, 3);
  EXPECT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->counters().rolls, 1U);
  EXPECT_TRUE(watcher_->faults().empty());
  expect_all(lane);
  close();
}

// What replaces a large file fails, may be begun on the disk all the same, and cannot be removed:
// at the next start it is the newest file, so nothing may be written to the older one any more.
TEST_F(SpoolRoll, AHalfBegunFileThatStaysEndsTheUseOfTheOneBefore) {
  FaultVfs vfs;
  options_.shrink_from_bytes = 1 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 100; ++i) put(lane, 5, 4000);
  ASSERT_TRUE(spool_->flush());
  vfs.fail_sync_of("2.db-wal");
  refuse_removal_of("2.db");
  vfs.set_disk_full(true);  // no third file
  spool_->acknowledge(lane, 500);
  ASSERT_TRUE(watcher_->wait([](Watcher& w) { return w.faults_.size() == 1; }));
  vfs.set_disk_full(false);
  ASSERT_TRUE(eventually([&] { return spool_->counters().rolls == 1; }));
  put(lane, 3);
  ASSERT_TRUE(spool_->flush());
  refuse_removal_of("");
  const auto epochs = epochs_;
  for (int time = 0; time < 2; ++time) {
    epochs_ = epochs;
    expect_all(lane);
    EXPECT_EQ(spool_->state(lane).next_seq, 504U);
    close();
    open();
  }
  close();
}

TEST_F(SpoolRoll, TwoFilesInARowMayFail) {
  FaultVfs vfs;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 6; ++i) {
    // Of the file that is written to; the spare may be made meanwhile.
    if (i == 2 || i == 4) vfs.fail_sync_of(i == 2 ? "1.db-wal" : "2.db-wal");
    for (int j = 0; j < 150; ++j) put(lane, 5, 3000);
    ASSERT_TRUE(spool_->flush());
  }
  EXPECT_EQ(spool_->counters().rolls, 2U);
  const auto epochs = epochs_;
  std::set<std::string> names;
  for (const auto& [seq, epoch] : epochs.at(lane)) names.insert(epoch);
  EXPECT_EQ(names.size(), 3U);
  for (int time = 0; time < 2; ++time) {
    expect_all(lane);
    close();
    open();
    epochs_ = epochs;
  }
  close();
}

// A failed commit may have reached the medium all the same. Its numbers are given out again in the
// next file, and must not come back from the old one.
TEST_F(SpoolRoll, WhatAFailedCommitLeftInTheOldFileIsNoRecordAndNoFate) {
  std::optional<FaultVfs> vfs(std::in_place);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 200; ++i) put(lane, 5, 4000);
  ASSERT_TRUE(spool_->flush());
  vfs->fail_sync_after(0);
  const Seq first = spool_->state(lane).next_seq;
  put(lane, 4, 300, true);  // the first is refused: a quarantine row in the failed commit
  ASSERT_TRUE(spool_->flush());
  close();
  vfs.reset();
  EXPECT_EQ(query(options_.dir / "1.db", "SELECT seq FROM quarantine"),
            std::vector<std::string>{std::to_string(first)})
      << "or this tests nothing";
  // As if the power had gone before the new file took that commit again.
  query(options_.dir / "2.db",
        "DELETE FROM quarantine; DELETE FROM seg; UPDATE lane_state SET next_seq=first_seq");
  std::filesystem::remove(options_.dir / "lanes");
  for (auto& [of, seqs] : epochs_) seqs.erase(seqs.lower_bound(first), seqs.end());
  refused_.clear();
  const auto before = epochs_;
  open();
  epochs_ = before;
  expect_all(lane);
  put(lane, 7, 300);  // the same numbers, other records
  ASSERT_TRUE(spool_->flush());
  for (int time = 0; time < 2; ++time) {
    expect_all(lane);
    const auto epochs = epochs_;
    close();
    open();
    epochs_ = epochs;
  }
  spool_->acknowledge(lane, first + 6);
  EXPECT_EQ(spool_->state(lane).quarantined, 0U);
  EXPECT_TRUE(eventually([&] { return !databases(options_.dir).contains("1.db"); }));
  close();
  EXPECT_EQ(query(options_.dir / "2.db", "SELECT count(*) FROM quarantine").at(0), "0");
}

class SpoolRollAtStart : public SpoolRoll {
 protected:
  // Three segments read long ago, the rest pending.
  void live_and_close() {
    open();
    lane_ = spool_->lane({"r", "t"});
    for (int i = 0; i < 60; ++i) {
      put(lane_, 5, 1000);
      ASSERT_TRUE(spool_->flush());
    }
    spool_->quarantine(lane_, 3, "poison");
    spool_->acknowledge(lane_, 15);
    ASSERT_TRUE(spool_->flush());
    close();
  }
  // What can be had of it; the rest is given up, as a lane would.
  std::set<Seq> read_as_a_lane(Seq from) {
    std::set<Seq> held;
    for (;;) {
      const auto segment = read_now(*spool_, lane_, from);
      const SeqRange range = spool_->segment_range(lane_, from);
      if (segment && *segment == nullptr) return held;
      const Seq given_up_to = segment ? (*segment)->first() - 1 : range.last;
      if (given_up_to >= from) spool_->damaged(lane_, from, given_up_to, "cannot be read");
      if (!segment && given_up_to < from) {
        ADD_FAILURE() << segment.error().what;
        return held;
      }
      if (segment) {
        for (Seq seq = (*segment)->first(); seq <= (*segment)->last(); ++seq) held.insert(seq);
      }
      from = segment ? (*segment)->last() + 1 : range.last + 1;
    }
  }
  std::filesystem::path file() const { return options_.dir / "1.db"; }
  LaneId lane_ = 0;
};

TEST_F(SpoolRollAtStart, ARuinedFileCostsWhatItHeldAndTheCountsStayExact) {
  live_and_close();
  query(file(), "PRAGMA wal_checkpoint(TRUNCATE)");
  std::ofstream(file(), std::ios::binary | std::ios::in).write(std::string(4096, 'x').data(), 4096);
  for (int time = 0; time < 2; ++time) {
    open();
    EXPECT_EQ(spool_->counters().parked_files, 1U);
    EXPECT_EQ(spool_->lane({"r", "t"}), lane_) << "remembered by the copy";
    ASSERT_TRUE(spool_->flush());
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.next_seq, 301U);
    EXPECT_EQ(state.cursor, 300U);
    EXPECT_EQ(state.quarantined, 1U);
    EXPECT_EQ(state.damaged, 285U);
    EXPECT_EQ(state.delivered(), 14U);
    close();
  }
}

TEST_F(SpoolRollAtStart, AnUnreadableLedgerCostsNoRecord) {
  live_and_close();
  ruin_root(file(), "lane_state");
  open();
  const LaneState state = spool_->state(lane_);
  EXPECT_EQ(state.cursor, 15U);
  EXPECT_EQ(state.quarantined, 1U);
  EXPECT_NE(spool_->epoch(), epochs_[lane_][20]);
  expect_all(lane_);
  close();
}

TEST_F(SpoolRollAtStart, WhatCannotBeReadOfAFileIsCountedAndTheRestIsDelivered) {
  live_and_close();
  query(file(), "PRAGMA wal_checkpoint(TRUNCATE)");
  // One leaf in the middle of `seg`: found by a row it holds.
  std::ifstream in(file(), std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  in.close();
  const auto at = bytes.find(Feeder::body(lane_, 151, 60));
  ASSERT_NE(at, std::string::npos);
  size_t page = at / 4096 * 4096;
  for (; bytes[page] != 0x0D; page -= 4096) ASSERT_GT(page, 4096U) << "the leaf is before its rest";
  std::fill_n(bytes.begin() + static_cast<long>(page), 4096, '\xEE');
  std::ofstream(file(), std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  uint64_t damaged = 0;
  for (int time = 0; time < 2; ++time) {
    open();
    const std::set<Seq> held = read_as_a_lane(16);
    ASSERT_TRUE(spool_->flush());
    spool_->acknowledge(lane_, 300);
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.next_seq, 301U);
    EXPECT_EQ(state.quarantined, 1U);
    EXPECT_GT(state.damaged, 0U);
    EXPECT_LT(state.damaged, 100U) << "a leaf, not the file";
    if (time == 0) {
      damaged = state.damaged;
      EXPECT_EQ(held.size() + state.damaged, 285U);
    }
    EXPECT_EQ(state.damaged, damaged);
    close();
  }
}

TEST_F(SpoolRollAtStart, AFileThatIsGoneIsNoticed) {
  live_and_close();
  const std::string epoch = epochs_[lane_][1];
  std::filesystem::remove(file());
  open();
  ASSERT_TRUE(spool_->flush());
  EXPECT_NE(spool_->epoch(), epoch);
  EXPECT_EQ(spool_->state(lane_).next_seq, 301U);
  EXPECT_EQ(spool_->state(lane_).damaged, 285U);
  close();
}

// Repair may find in it what the agent cannot read.
TEST_F(SpoolRoll, AnOldFileWhoseQuarantineCannotBeReadIsKept) {
  std::optional<FaultVfs> vfs(std::in_place);
  options_.max_size_bytes = 16 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 60; ++i) put(lane, 2, 9000, i % 2 == 0);
  ASSERT_TRUE(spool_->flush());
  vfs->fail_sync_of("1.db-wal");
  put(lane, 2);
  ASSERT_TRUE(spool_->flush());
  ASSERT_EQ(spool_->counters().rolls, 1U);
  close();
  vfs.reset();
  ruin_root(options_.dir / "1.db", "quarantine");
  for (int time = 0; time < 2; ++time) {
    open();
    ASSERT_EQ(spool_->counters().older_files, 1U);
    spool_->acknowledge(lane, spool_->state(lane).next_seq - 1);
    EXPECT_TRUE(eventually([&] { return spool_->counters().kept_files == 1; }));
    EXPECT_EQ(spool_->counters().older_files, 1U);
    put(lane, 1);
    ASSERT_TRUE(spool_->flush()) << "the rest goes on";
    close();
  }
  EXPECT_TRUE(std::filesystem::exists(options_.dir / "1.db"));
  auto repaired = repair_spool(options_.dir, dir_.path() / "repaired", Log::none());
  ASSERT_TRUE(repaired) << repaired.error().what;
  EXPECT_EQ(query(dir_.path() / "repaired" / "1.db",
                  "SELECT count(*) FROM quarantine WHERE length(record)>8000")
                .at(0),
            "30");
}

TEST(LanesFile, ATornCopyLeavesTheOneBefore) {
  const TempDir dir;
  LanesCopy copy;
  copy.epochs.push_back({1, "e", "a", "m", "f", -5});
  for (uint32_t round = 1; round <= 8; ++round) {
    copy.active = round;
    copy.lanes.push_back(
        {round, {"r", std::string(round * 200, 't')}, round, round + 1, {1, 2, 3, 4, 2}, 1, 5, 6});
    LanesFile writer(dir.path());
    (void)writer.read();
    ASSERT_TRUE(writer.write(copy));
    const auto back = LanesFile(dir.path()).read();
    ASSERT_TRUE(back);
    EXPECT_EQ(back->active, round);
    ASSERT_EQ(back->lanes.size(), round);
    EXPECT_EQ(back->lanes.back().counts, (FateCounts{1, 2, 3, 4, 2}));
    EXPECT_EQ(back->lanes.back().refused, 5U);
    EXPECT_EQ(back->lanes.back().quarantine_bytes, 6U);
    EXPECT_EQ(back->epochs.at(0).started_at_us, -5);
  }
  std::ifstream in(dir.path() / "lanes", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  in.close();
  std::mt19937_64 random(test_seed());
  int before = 0;
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    for (int i = 0; i < 3; ++i) bad[random() % bad.size()] = static_cast<char>(random());
    if (round % 10 == 0) bad.resize(random() % bad.size());
    std::ofstream(dir.path() / "lanes", std::ios::binary)
        .write(bad.data(), static_cast<long>(bad.size()));
    if (const auto back = LanesFile(dir.path()).read()) {
      EXPECT_GE(back->active, 7U);
      EXPECT_EQ(back->lanes.size(), back->active);
      before += back->active == 7 ? 1 : 0;
    }
  }
  EXPECT_GT(before, 0);
}

// Cuts in the middle of rolls, moves and removals.
TEST_F(SpoolRoll, ACutInsideARollLosesNothingCalledDurable) {
  std::mt19937_64 random(test_seed());
  std::mt19937_64 cut_random(random());  // of the spool thread, once armed
  struct Cut {
    std::filesystem::path dir;
    std::map<LaneId, Seq> durable;
    std::map<LaneId, Seq> acknowledged;
  };
  for (int round = 0; round < 3; ++round) {
    FaultVfs vfs;
    const TempDir dir;
    options_.dir = dir.path() / "spool";
    options_.max_size_bytes = round % 2 == 0 ? 128 << 20 : 8 << 20;
    epochs_.clear();
    refused_.clear();
    std::vector<Cut> cuts;
    std::map<LaneId, Seq> acknowledged;
    std::function<void()> arm = [&] {
      vfs.before_write(1 + static_cast<int>(cut_random() % 25), [&] {
        Cut cut{dir.path() / ("cut" + std::to_string(cuts.size())), {}, {}};
        {
          const std::lock_guard lock(mutex_);
          for (const auto& [lane, seqs] : epochs_) cut.durable[lane] = seqs.rbegin()->first;
          cut.acknowledged = acknowledged;
        }
        vfs.cut(options_.dir, cut.dir, static_cast<Survives>(cut_random() % 6), cut_random);
        if (std::filesystem::exists(options_.dir / "lanes"))
          std::filesystem::copy_file(options_.dir / "lanes", cut.dir / "lanes");
        cuts.push_back(std::move(cut));
        arm();
      });
    };
    open();
    const std::vector<LaneId> lanes{spool_->lane({"r", "a"}), spool_->lane({"r", "b"})};
    put(lanes[0], 1);
    put(lanes[1], 1);
    ASSERT_TRUE(spool_->flush());
    vfs.fail_sync_after(2 + static_cast<int>(random() % 20));
    for (int i = 0; i < 60; ++i) {
      if (i == 5) arm();
      const LaneId lane = lanes[random() % 2];
      put(lane, 1 + static_cast<int>(random() % 5), 200 + random() % 3000, random() % 9 == 0);
      ASSERT_TRUE(spool_->flush());
      if (random() % 3 == 0) {
        const std::lock_guard lock(mutex_);
        const Seq next = spool_->state(lane).next_seq;
        acknowledged[lane] = std::max(acknowledged[lane], next - 1 - random() % 4 % next);
        spool_->acknowledge(lane, acknowledged[lane]);
      }
    }
    EXPECT_EQ(spool_->counters().rolls, 1U);
    for (const LaneId lane : lanes) {
      const std::lock_guard lock(mutex_);
      acknowledged[lane] = spool_->state(lane).next_seq - 1;
      spool_->acknowledge(lane, acknowledged[lane]);
    }
    EXPECT_TRUE(eventually([&] { return spool_->counters().older_files == 0; }));
    vfs.before_write(0, nullptr);
    close();
    EXPECT_GT(cuts.size(), 5U);
    for (const auto& cut : cuts) {
      SCOPED_TRACE(cut.dir.filename().string());
      Options options = options_;
      options.dir = cut.dir;
      auto opened = Spool::open(options, Log::none());
      ASSERT_TRUE(opened) << opened.error().what;
      Watcher watcher;
      (*opened)->start(watcher);
      for (const auto& [lane, last] : cut.durable) {
        const LaneState state = (*opened)->state(lane);
        EXPECT_GE(state.next_seq, last + 1) << "lane " << lane;
        EXPECT_EQ(state.damaged, 0U);
        for (const auto& [seq, body] : read_all(**opened, lane, state.cursor + 1))
          EXPECT_EQ(body, Feeder::body(lane, seq, body.size()));
        Seq allowed = cut.acknowledged.contains(lane) ? cut.acknowledged.at(lane) : 0;
        while (refused_[lane].contains(allowed + 1)) ++allowed;
        EXPECT_LE(state.cursor, allowed) << "ahead of what was acknowledged";
      }
      (*opened)->stop();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace penstock::spool::testing
