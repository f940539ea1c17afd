// Goal: a spool of any size is opened, read and removed with a few entries of its index in memory,
// and what its rows say wrong costs nothing that is there. Method: spools of many more segments
// than the limits of options_in() let into memory.
#include "agent/base/record.h"
#include "agent/spool/database.h"
#include "agent/spool/lanes_file.h"
#include "agent/spool/load.h"
#include "agent/spool/offline_quarantine.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

constexpr int kLanes = 3;
constexpr int kCommits = 60;

class SpoolIndex : public ::testing::Test {
 protected:
  void open() {
    spool_ = open_or_die(options_);
    spool_->start(watcher_);
    feeder_.emplace(*spool_);
  }
  // One segment of every lane in each commit.
  void fill(int commits) {
    for (int i = 0; i < commits; ++i) {
      for (int lane = 0; lane < kLanes; ++lane)
        feeder_->put(spool_->lane({"r", std::to_string(lane)}), 2);
      ASSERT_TRUE(spool_->flush());
    }
  }
  void close() {
    feeder_.reset();
    spool_->stop();
    spool_.reset();
  }
  std::string value(const std::string& sql) { return query(file(), sql).at(0); }
  void change(const std::string& sql) { (void)query(file(), sql); }
  std::filesystem::path file() const { return dir_.path() / "1.db"; }
  // The next start goes on in a new file: this one seems to be gone.
  void name_active(uint32_t generation) {
    LanesFile lanes(dir_.path());
    auto copy = lanes.read();
    ASSERT_TRUE(copy);
    copy->active = generation;
    ASSERT_TRUE(lanes.write(*copy));
  }
  LaneId lane(int index) { return spool_->lane({"r", std::to_string(index)}); }
  // What a start knows, without the spool's own thread.
  Loaded load_now() {
    auto db = open_existing(file(), sizing_for(options_.max_size_bytes));
    EXPECT_TRUE(db);
    auto loaded = load({{1, &*db, true}}, {}, 0, Log::none());
    EXPECT_TRUE(loaded);
    return *std::move(loaded);
  }
  // Every record that was put into a lane, exactly.
  void expect_all(int index, Seq count) {
    const auto all = read_all(*spool_, lane(index));
    ASSERT_EQ(all.size(), count);
    for (const auto& [seq, body] : all)
      EXPECT_EQ(body, Feeder::body(lane(index), seq, body.size()));
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  Watcher watcher_;
  std::unique_ptr<Spool> spool_;
  std::optional<Feeder> feeder_;
};

TEST_F(SpoolIndex, AStartReadsTheNewestEntriesOnlyAndKnowsTheRest) {
  open();
  fill(kCommits);
  close();
  EXPECT_GE(std::stoi(value("SELECT sum(segments) FROM seg_index")), kLanes * kCommits - 18);
  const uint64_t bytes = std::stoull(value("SELECT sum(length(payload)) FROM seg"));
  const Loaded loaded = load_now();
  EXPECT_EQ(loaded.index.size(), static_cast<size_t>(kLanes * kCommits));
  EXPECT_LE(loaded.index.entries(), 18U);
  EXPECT_EQ(loaded.index.live(1).bytes, bytes);
  EXPECT_FALSE(loaded.index_is_stale);
}

TEST_F(SpoolIndex, AfterAStopAStartReadsNoEntries) {
  options_.index_unwritten = 2 * kLanes * kCommits;  // so that none has a row before
  open();
  fill(kCommits);
  close();
  const Loaded loaded = load_now();
  EXPECT_EQ(loaded.index.size(), static_cast<size_t>(kLanes * kCommits));
  EXPECT_EQ(loaded.index.entries(), 0U);
  open();
  for (int index = 0; index < kLanes; ++index) expect_all(index, 2 * kCommits);
}

TEST_F(SpoolIndex, MemoryDoesNotGrowWithTheBacklog) {
  options_.tail_bytes = 0;
  // What may be in memory: the limit, what waits for a row, and the row read last.
  const uint64_t bound =
      options_.index_entries + 2 * (options_.index_unwritten + kLanes) + options_.index_unwritten;
  open();
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < kCommits; ++i) {
      fill(1);
      ASSERT_LE(spool_->counters().index_entries, bound);
    }
    for (int index = 0; index < kLanes; ++index) {
      for (Seq seq = 1; seq < spool_->state(lane(index)).next_seq; seq += 2) {
        ASSERT_TRUE(read_now(*spool_, lane(index), seq));
        ASSERT_LE(spool_->counters().index_entries, bound);
      }
    }
    if (round == 1) close();
    if (round == 1) open();
  }
}

TEST_F(SpoolIndex, EverythingIsReadAndRemovedThroughPartsOfIt) {
  open();
  fill(kCommits);
  for (const bool reopened : {false, true}) {
    if (reopened) {
      close();
      open();
    }
    for (int index = 0; index < kLanes; ++index) expect_all(index, 2 * kCommits);
  }
  fill(kCommits);
  for (int index = 0; index < kLanes; ++index) {
    expect_all(index, 4 * kCommits);
    spool_->acknowledge(lane(index), 4 * kCommits);
  }
  // What is fetched in parts is removed in parts, in the end all of it.
  for (int i = 0; i < 4 * kLanes * kCommits; ++i) ASSERT_TRUE(spool_->flush());
  close();
  EXPECT_EQ(value("SELECT count(*) FROM seg"), "0");
  EXPECT_EQ(value("SELECT count(*) FROM seg_index"), "0");
}

TEST_F(SpoolIndex, ARowThatIsDamagedOrGoneCostsNoRecord) {
  open();
  fill(kCommits);
  close();
  for (const char* damage :
       {"UPDATE seg_index SET entries=zeroblob(length(entries)) WHERE first_seq BETWEEN 20 AND 40",
        "UPDATE seg_index SET last_seq=last_seq-2 WHERE lane=2 AND first_seq>60",
        "DELETE FROM seg_index WHERE first_seq BETWEEN 50 AND 70 AND lane=1",
        "DELETE FROM seg_index WHERE first_seq<10 AND lane=3"}) {
    SCOPED_TRACE(damage);
    change(damage);
    open();
    for (int index = 0; index < kLanes; ++index) {
      expect_all(index, 2 * kCommits);
      EXPECT_EQ(spool_->state(lane(index)).damaged, 0U);
    }
    close();
  }
}

TEST_F(SpoolIndex, ASegmentThatIsGoneAlthoughItsRowNamesItIsCountedAsDamaged) {
  open();
  fill(kCommits);
  close();
  change("DELETE FROM seg WHERE lane=1 AND first_seq=41");
  open();
  const LaneId one = lane(0);
  EXPECT_FALSE(read_now(*spool_, one, 41));
  EXPECT_EQ(spool_->segment_range(one, 41), (SeqRange{41, 42}));
  spool_->damaged(one, 41, 42, "gone");
  spool_->acknowledge(one, 2 * kCommits);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(one).damaged, 2U);
  EXPECT_EQ(spool_->state(one).delivered(), uint64_t{2 * kCommits - 2});
}

// A lane's next number is on disk only with a row of the lane, which goes with rows of the index.
TEST_F(SpoolIndex, TheNewestRowsMayBeLostOrTheirMarkBeWrong) {
  for (const char* damage :
       {"DELETE FROM seg_index WHERE first_seq>40", "DELETE FROM seg_index",
        "UPDATE index_state SET covered_id=covered_id+100000",
        "UPDATE seg_index SET segments_before=segments_before+7 WHERE first_seq>90",
        "UPDATE seg_index SET first_seq=first_seq+1 WHERE lane=2"}) {
    SCOPED_TRACE(damage);
    open();
    fill(kCommits);
    close();
    change(damage);
    EXPECT_TRUE(load_now().index_is_stale);
    open();
    for (int index = 0; index < kLanes; ++index) {
      expect_all(index, 2 * kCommits);
      EXPECT_EQ(spool_->state(lane(index)).damaged, 0U);
    }
    fill(kCommits);
    for (int index = 0; index < kLanes; ++index) expect_all(index, 4 * kCommits);
    close();
    const Loaded again = load_now();
    EXPECT_FALSE(again.index_is_stale) << "it was written anew";
    EXPECT_EQ(again.index.size(), static_cast<size_t>(2 * kLanes * kCommits));
    EXPECT_LE(again.index.entries(), 18U);
    spool_.reset();
    std::filesystem::remove_all(options_.dir);
  }
}

TEST_F(SpoolIndex, AFileOfAnEarlierVersionHasNoRowsAndGetsThem) {
  open();
  fill(kCommits);
  close();
  change("DROP TABLE seg_index; DROP TABLE index_state;");
  const size_t unwritten = std::exchange(options_.index_unwritten, 1000);
  for (int time = 0; time < 2; ++time) {
    open();
    for (int index = 1; index < kLanes; ++index) expect_all(index, 2 * kCommits);
    EXPECT_EQ(read_all(*spool_, lane(0)).size(), size_t{2 * kCommits} - (time == 0 ? 0 : 10));
    spool_->acknowledge(lane(0), 10);  // removals alone make no tables
    ASSERT_TRUE(spool_->flush());
    close();
  }
  EXPECT_EQ(value("SELECT count(*) FROM sqlite_schema WHERE name='seg_index'"), "0");
  options_.index_unwritten = unwritten;
  open();
  fill(1);
  close();
  EXPECT_EQ(value("SELECT sum(segments) FROM seg_index"), std::to_string(kLanes * kCommits - 5));
  EXPECT_EQ(load_now().index.entries(), static_cast<size_t>(kLanes));
}

TEST_F(SpoolIndex, WhatAPersonPutsBetweenItsSegmentsIsFound) {
  open();
  fill(kCommits / 2);
  const LaneId one = lane(1);
  auto refused = feeder_->take(one, 1);
  refused.front().body.clear();
  encode_record({"in", "topic", "payload", {}, 1, TimeQuality::kSet}, refused.front().body);
  refused.front().refusal = "refused";
  ASSERT_EQ(spool_->enqueue(std::move(refused)), Enqueue::kTaken);
  ASSERT_TRUE(spool_->flush());
  fill(kCommits / 2);
  EXPECT_EQ(read_all(*spool_, one).size(), static_cast<size_t>(2 * kCommits));
  close();
  const auto replayed = replay_quarantine(options_.dir, {}, {}, Log::none());
  ASSERT_TRUE(replayed) << replayed.error().what;
  ASSERT_EQ(replayed->done, 1U);
  open();
  EXPECT_EQ(read_all(*spool_, one).size(), static_cast<size_t>(2 * kCommits + 1));
  EXPECT_EQ(spool_->state(one).damaged, 0U);
}

TEST_F(SpoolIndex, ADiscardedRecordDoesNotTakeItsSegmentAlong) {
  open();
  fill(kCommits);
  const LaneId one = lane(1);
  spool_->quarantine(one, 1, "poison");  // the first of two
  ASSERT_TRUE(spool_->flush());
  close();
  const auto discarded = discard_quarantine(options_.dir, {}, 1, Log::none());
  ASSERT_TRUE(discarded) << discarded.error().what;
  ASSERT_EQ(discarded->done, 1U);
  open();
  EXPECT_EQ(read_all(*spool_, one, 2).count(2), 1U);
  EXPECT_EQ(spool_->state(one).damaged, 0U);
}

TEST_F(SpoolIndex, ASegmentWhoseRowIsGoneIsFoundFromItsMiddle) {
  open();
  fill(kCommits);
  const LaneId one = lane(1);
  close();
  change("DELETE FROM seg_index WHERE first_seq BETWEEN 50 AND 70");
  open();
  spool_->quarantine(one, 60, "poison");  // the second of two
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(one).damaged, 0U);
  expect_all(1, 2 * kCommits);
  close();
  EXPECT_EQ(value("SELECT count(*) FROM quarantine WHERE length(record)>40"), "1");
}

TEST_F(SpoolIndex, RecordsOfMoreRowsThanFitIntoMemoryGoToQuarantineTogether) {
  options_.tail_bytes = 0;
  open();
  fill(4 * kCommits);
  close();
  options_.index_entries = 1;
  open();
  for (Seq seq = 1; seq < 8 * kCommits; seq += 16) spool_->quarantine(lane(seq % 3), seq, "poison");
  ASSERT_TRUE(spool_->flush());
  close();
  EXPECT_EQ(value("SELECT count(*) FROM quarantine WHERE length(record)>40 AND reason='poison'"),
            "30");
}

// Dropping gives no fate to records that have one, so no row of `fate` tells of this segment.
TEST_F(SpoolIndex, ASegmentWhoseRecordsWentToQuarantineBeforeItWasDroppedIsNotMissed) {
  HandClock clock;
  options_.clock = clock.reader();
  options_.policies["r"] = {OverflowPolicy::kBlock, 100.0, Millis(1000)};
  open();
  const LaneId one = lane(0);
  const auto put_one = [&] {
    auto records = feeder_->take(one, 1);
    records.front().received_at_us = clock.now().wall_us;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  };
  for (int i = 0; i < 20; ++i) put_one();
  ASSERT_TRUE(read_now(*spool_, one, 1));  // on its way, so it stays
  spool_->quarantine(one, 2, "poison");    // behind it, in one part of the index
  ASSERT_TRUE(spool_->flush());
  clock.pass(2);
  ASSERT_TRUE(eventually([&] { return spool_->decided(one, {2, 20}); }));
  put_one();
  close();
  ASSERT_EQ(value("SELECT count(*) FROM seg"), "2");
  ASSERT_EQ(value("SELECT count(*) FROM seg_index WHERE first_seq<2 AND last_seq>2"), "1");
  options_.policies.clear();  // the first one is not on its way any more
  for (const bool is_older : {false, true}) {
    SCOPED_TRACE(is_older);
    if (is_older) name_active(2);
    open();
    ASSERT_EQ(std::filesystem::exists(dir_.path() / "3.db"), is_older);
    const auto all = read_all(*spool_, one);
    EXPECT_EQ(all.size(), 2U);
    EXPECT_TRUE(all.contains(21));
    EXPECT_EQ(spool_->state(one).damaged, 0U);
    close();
  }
}

TEST_F(SpoolIndex, RecordsFarBackGoToQuarantineWhole) {
  open();
  fill(kCommits);
  close();
  open();
  spool_->quarantine(lane(1), 31, "poison");
  ASSERT_TRUE(spool_->flush());
  const LaneId one = lane(1);
  close();
  EXPECT_EQ(value("SELECT count(*) FROM quarantine WHERE length(record)>40 AND reason='poison' AND "
                  "lane=" +
                  std::to_string(one)),
            "1");
}

}  // namespace
}  // namespace penstock::spool::testing
