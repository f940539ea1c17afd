// Into the spool and out again: durability, order, cursors, quarantine, a full spool.
#include <atomic>
#include <thread>

#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

class SpoolTest : public ::testing::Test {
 protected:
  void open() {
    spool_ = open_or_die(options_);
    watcher_ = std::make_unique<Watcher>();
    feeder_ = std::make_unique<Feeder>(*spool_);
    feeder_->within = within_;
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  void reopen() {
    close();
    open();
  }
  std::vector<std::string> rows(const std::string& sql) {
    close();
    auto found = query(dir_.path() / "1.db", sql);
    open();
    return found;
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  Millis within_{5};
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
  std::unique_ptr<Feeder> feeder_;
};

TEST_F(SpoolTest, OnlyACommitThatAnotherFullOneWaitsBehindIsPackedInAHurry) {
  spool_ = open_or_die(options_);
  watcher_ = std::make_unique<Watcher>();
  Feeder feeder(*spool_);
  const LaneId lane = spool_->lane({"route", "main.a.b"});
  for (int part = 0; part < 5; ++part) {  // half a commit each
    auto records = feeder.take(lane, 500);
    for (auto& record : records) {
      record.body.clear();
      for (uint64_t i = 0; record.body.size() < 1024; ++i)
        record.body += R"({"value":)" + std::to_string(record.seq * 7919 * i % 1000) + "}";
    }
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  }
  spool_->start(*watcher_);
  ASSERT_TRUE(spool_->flush());
  const auto sizes = rows("SELECT length(payload)/count FROM seg ORDER BY id");
  ASSERT_GE(sizes.size(), 3U);
  EXPECT_GT(std::stoi(sizes.at(0)), std::stoi(sizes.at(1)) * 11 / 10);
  EXPECT_LT(std::stoi(sizes.at(1)), std::stoi(sizes.at(2)) * 11 / 10);
  EXPECT_EQ(read_all(*spool_, lane).size(), 2500U);
}

TEST_F(SpoolTest, RecordsComeBackInOrderFromMemoryAndFromDisk) {
  open();
  const LaneId lane = spool_->lane({"route", "main.a.b"});
  for (int i = 0; i < 10; ++i) {
    feeder_->put(lane, 10, 300);
    ASSERT_TRUE(spool_->flush());
  }
  ASSERT_TRUE(watcher_->wait_durable(1, 100));
  const auto from_memory = read_all(*spool_, lane);
  ASSERT_EQ(from_memory.size(), 100U);
  for (const auto& [seq, body] : from_memory) EXPECT_EQ(body, Feeder::body(lane, seq, 300));
  EXPECT_EQ(spool_->counters().disk_reads, 0U);
  EXPECT_GE(spool_->counters().tail_hits, 10U);
  reopen();
  EXPECT_EQ(read_all(*spool_, lane), from_memory);
  EXPECT_GE(spool_->counters().disk_reads, 10U);
  EXPECT_EQ(spool_->state(lane).next_seq, 101U);
}

TEST_F(SpoolTest, WhatIsInMemoryIsReadWithoutTheSpoolsThread) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 5);
  ASSERT_TRUE(spool_->flush());
  std::optional<std::thread::id> reader;
  spool_->read(lane, 3, [&](Result<SegmentPtr> segment) {
    EXPECT_TRUE(segment && *segment && (*segment)->last() == 5);
    reader = std::this_thread::get_id();
  });
  EXPECT_EQ(reader, std::this_thread::get_id());
}

TEST_F(SpoolTest, AReadGivesTheSegmentThatHoldsTheRecordOrNothingYet) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 5);
  ASSERT_TRUE(spool_->flush());
  const auto segment = read_now(*spool_, lane, 4);
  ASSERT_TRUE(segment);
  EXPECT_EQ((*segment)->first(), 1U);
  EXPECT_EQ((*segment)->last(), 5U);
  EXPECT_EQ(spool_->segment_range(lane, 4), (SeqRange{1, 5}));
  const auto none = read_now(*spool_, lane, 6);
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
  EXPECT_TRUE(spool_->segment_range(lane, 6).empty());
}

// P1: at the moment of on_durable, a copy of the files alone gives the records back.
TEST_F(SpoolTest, WhatIsCalledDurableIsInTheFiles) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  std::atomic<int> checked{0};
  watcher_->durable_hook = [&](SourceId, uint64_t up_to) {
    const TempDir copy;
    copy_database(dir_.path(), copy.path());
    const auto other = open_or_die(options_in(copy.path()));
    EXPECT_GE(other->state(lane).next_seq, up_to + 1) << "called durable, but not in the files";
    ++checked;
  };
  for (int i = 0; i < 20; ++i) {
    feeder_->put(lane, 3);
    ASSERT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
  }
  close();
  EXPECT_GE(checked, 20);
}

// One number per source is sound only if a commit takes a prefix of the queue over all lanes:
// whatever copy of the files is looked at, of every source exactly a prefix of its records is
// there.
TEST_F(SpoolTest, EveryCommitIsAPrefixOfEverySource) {
  options_.queue_bytes = 64 << 10;
  options_.commit_bytes = 1 << 10;
  open();
  constexpr int kSources = 4;
  constexpr int kLanes = 6;
  constexpr uint64_t kEach = 1500;
  std::vector<LaneId> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.push_back(spool_->lane({"r", std::to_string(i)}));
  std::mutex order;  // seq and source_seq must arrive in order, as intake sees to
  std::condition_variable room;
  std::map<LaneId, Seq> seqs;
  int copies = 0;
  uint64_t commits_seen = 0;
  watcher_->durable_hook = [&](SourceId, uint64_t) {
    if (++commits_seen % 10 != 0) return;
    ++copies;
    const TempDir copy;
    copy_database(dir_.path(), copy.path());
    Watcher nobody;
    const auto other = open_or_die(options_in(copy.path()));
    other->start(nobody);
    std::map<std::string, std::set<uint64_t>> by_source;
    for (const LaneId lane : lanes) {
      for (const auto& [seq, body] : read_all(*other, lane)) {
        by_source[body.substr(0, body.find('/'))].insert(
            std::stoull(body.substr(body.find('/') + 1)));
      }
    }
    for (const auto& [source, held] : by_source) {
      EXPECT_EQ(*held.rbegin(), held.size()) << "source " << source << " has a hole";
    }
    other->stop();
  };
  const auto produce = [&](SourceId source) {
    std::mt19937 random(source);
    for (uint64_t i = 1; i <= kEach; ++i) {
      const LaneId lane = lanes[random() % lanes.size()];
      const auto within = Millis(random() % 20);
      for (bool taken = false; !taken;) {
        std::unique_lock lock(order);
        Pending record;
        record.lane = lane;
        record.seq = seqs[lane] + 1;
        record.source = source;
        record.source_seq = i;
        record.commit_within = within;
        record.body = std::to_string(source) + "/" + std::to_string(i);
        std::vector<Pending> call;
        call.push_back(std::move(record));
        const Enqueue answer = spool_->enqueue(std::move(call));
        ASSERT_NE(answer, Enqueue::kClosed);
        taken = answer == Enqueue::kTaken;
        if (taken) {
          ++seqs[lane];
        } else {
          room.wait_for(lock, Millis(1));
        }
      }
    }
  };
  std::vector<std::thread> threads;
  for (SourceId source = 1; source <= kSources; ++source) {
    threads.emplace_back([&produce, source] { produce(source); });
  }
  for (auto& thread : threads) thread.join();
  for (SourceId source = 1; source <= kSources; ++source)
    EXPECT_TRUE(watcher_->wait_durable(source, kEach));
  EXPECT_EQ(watcher_->went_back(), 0);
  close();
  EXPECT_GT(copies, 0);
  open();
  size_t total = 0;
  for (const LaneId lane : lanes) total += read_all(*spool_, lane).size();
  EXPECT_EQ(total, kSources * kEach);
}

TEST_F(SpoolTest, ACommitMakesOneSegmentPerLaneAndStaysBelowOneMegabyte) {
  within_ = Millis(600000);
  options_.commit_bytes = 64 << 20;
  open();
  const LaneId a = spool_->lane({"r", "a"});
  const LaneId b = spool_->lane({"r", "b"});
  for (int i = 0; i < 10; ++i) {
    feeder_->put(a, 1);
    feeder_->put(b, 1);
  }
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->counters().commits, 1U);
  EXPECT_EQ(spool_->segment_range(a, 1), (SeqRange{1, 10}));
  EXPECT_EQ(spool_->segment_range(b, 1), (SeqRange{1, 10}));
  for (int i = 0; i < 30; ++i) feeder_->put(a, 1, 100 << 10);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->counters().commits, 4U) << "3 MB in commits of at most 1 MB";
}

TEST_F(SpoolTest, HintsAndSizeCommitBeforeTheDeadline) {
  within_ = Millis(600000);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 1);
  spool_->flush_hint();
  EXPECT_TRUE(watcher_->wait_durable(1, 1));
  feeder_->put(lane, 300, 1000);
  EXPECT_TRUE(watcher_->wait_durable(1, 301));
}

TEST_F(SpoolTest, AnEarlierDeadlineBehindALaterOneWins) {
  within_ = Millis(600000);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 1);
  feeder_->within = Millis(1);
  feeder_->put(lane, 1);
  EXPECT_TRUE(watcher_->wait_durable(1, 2));
}

TEST_F(SpoolTest, TheCursorIsPersistedAloneWithinItsSecondAndTrimsWithIt) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int i = 0; i < 40; ++i) {
    feeder_->put(lane, 1, 9000);
    ASSERT_TRUE(spool_->flush());
  }
  const uint64_t before = spool_->counters().live_bytes;
  const uint64_t commits = spool_->counters().commits;
  spool_->acknowledge(lane, 39);
  EXPECT_EQ(spool_->state(lane).cursor, 39U);
  EXPECT_EQ(spool_->state(lane).pending(), 1U);
  // More than one transaction's worth of segments: they go in several, without any further record.
  EXPECT_TRUE(eventually([&] { return spool_->counters().live_bytes <= before / 4; }));
  EXPECT_EQ(spool_->counters().commits, commits) << "nothing but acknowledgements was written";
  EXPECT_EQ(rows("SELECT first_seq FROM seg"), std::vector<std::string>{"40"});
  EXPECT_EQ(spool_->state(lane).cursor, 39U);
  EXPECT_EQ(spool_->state(lane).next_seq, 41U);
}

TEST_F(SpoolTest, TheCursorNeverPassesWhatIsCommittedNorGoesBack) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 5);
  ASSERT_TRUE(spool_->flush());
  spool_->acknowledge(lane, 999);
  EXPECT_EQ(spool_->state(lane).cursor, 5U);
  spool_->acknowledge(lane, 2);
  EXPECT_EQ(spool_->state(lane).cursor, 5U);
  spool_->acknowledge(77, 1);  // no such lane
  reopen();
  EXPECT_EQ(spool_->state(lane).cursor, 5U);
  EXPECT_EQ(spool_->state(lane).next_seq, 6U) << "numbers go on though every segment is gone";
}

TEST_F(SpoolTest, LanesKeepTheirIdsAndAppearWithTheirFirstRecord) {
  open();
  const LaneId a = spool_->lane({"r", "a"});
  const LaneId b = spool_->lane({"r", "b"});
  EXPECT_NE(a, b);
  EXPECT_NE(a, kUnroutedLane);
  EXPECT_EQ(spool_->lane({"r", "a"}), a);
  EXPECT_EQ(spool_->lane({std::string(kUnroutedName), ""}), kUnroutedLane);
  feeder_->put(b, 1);
  ASSERT_TRUE(spool_->flush());
  reopen();
  const auto lanes = spool_->lanes();
  ASSERT_EQ(lanes.size(), 2U);
  EXPECT_EQ(lanes[0].id, kUnroutedLane);
  EXPECT_EQ(lanes[1].id, b);
  EXPECT_EQ(lanes[1].key, (LaneKey{"r", "b"}));
  EXPECT_NE(spool_->lane({"r", "c"}), b);
}

// A lane asks this of each segment it reads: what has its fate is not sent.
TEST_F(SpoolTest, WhatIsDecidedOfASegmentIsKnownAheadOfTheCursorTooAndAfterARestart) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 10);
  ASSERT_TRUE(spool_->flush());
  for (const Seq seq : {4, 5, 8}) spool_->quarantine(lane, seq, "no such column");
  spool_->acknowledge(lane, 2);
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(spool_->decided_parts(lane, {1, 10}),
              (std::vector<SeqRange>{{1, 2}, {4, 5}, {8, 8}}));
    EXPECT_EQ(spool_->decided_parts(lane, {5, 7}), (std::vector<SeqRange>{{5, 5}}));
    EXPECT_TRUE(spool_->decided_parts(lane, {6, 7}).empty());
    EXPECT_TRUE(spool_->decided_parts(lane, {9, 20}).empty());
    EXPECT_TRUE(spool_->decided_parts(77, {1, 10}).empty()) << "no such lane";
    reopen();
  }
}

TEST_F(SpoolTest, QuarantineIsIdempotentCountedBelowTheCursorAndKeepsTheRecord) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 10);
  ASSERT_TRUE(spool_->flush());
  for (int time = 0; time < 3; ++time) spool_->quarantine(lane, 4, "no such column");
  EXPECT_EQ(spool_->state(lane).quarantined, 0U) << "the cursor is not there yet";
  EXPECT_EQ(spool_->state(lane).cursor, 0U);
  spool_->acknowledge(lane, 3);
  EXPECT_EQ(spool_->state(lane).cursor, 4U) << "the cursor passes a record that has its fate";
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  EXPECT_EQ(spool_->state(lane).delivered(), 3U);
  spool_->quarantine(lane, 4, "again");
  spool_->quarantine(lane, 2, "behind the cursor");
  spool_->quarantine(lane, 11, "not committed");
  reopen();
  spool_->quarantine(lane, 4, "after a restart");
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  spool_->quarantine(lane, 7, "read back from disk");
  spool_->acknowledge(lane, 10);
  EXPECT_EQ(spool_->state(lane).quarantined, 2U);
  EXPECT_EQ(spool_->state(lane).quarantined, 2U);
  EXPECT_EQ(spool_->state(lane).delivered(), 8U);
  reopen();
  EXPECT_EQ(spool_->state(lane).quarantined, 2U);
  const auto bodies = rows("SELECT hex(record) FROM quarantine ORDER BY seq");
  const auto hex = [](const std::string& text) {
    std::string out;
    char digits[3];
    for (const char c : text) {
      std::snprintf(digits, sizeof digits, "%02X", static_cast<unsigned char>(c));
      out += digits;
    }
    return out;
  };
  const std::vector<std::string> expected{hex(Feeder::body(lane, 4, 50)),
                                          hex(Feeder::body(lane, 7, 50))};
  EXPECT_EQ(bodies, expected);
}

TEST_F(SpoolTest, UnroutedRecordsGoStraightToQuarantineAndLeaveNothingPending) {
  open();
  for (int i = 0; i < 5; ++i) feeder_->refuse(kUnroutedLane, "no route matches");
  ASSERT_TRUE(watcher_->wait_durable(1, 5));
  for (int time = 0; time < 2; ++time) {
    const LaneState state = spool_->state(kUnroutedLane);
    EXPECT_EQ(state.next_seq, 6U);
    EXPECT_EQ(state.cursor, 5U);
    EXPECT_EQ(state.quarantined, 5U);
    EXPECT_EQ(state.pending(), 0U);
    EXPECT_EQ(state.delivered(), 0U);
    reopen();
  }
  EXPECT_EQ(
      rows("SELECT count(*) FROM quarantine WHERE lane=0 AND reason='no route matches'").at(0),
      "5");
  EXPECT_EQ(rows("SELECT count(*) FROM seg").at(0), "0");
}

TEST_F(SpoolTest, RefusedRecordsInsideALaneAreSkippedByReadersAndPassedByTheCursor) {
  within_ = Millis(600000);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 2);              // 1, 2
  feeder_->refuse(lane, "oversize");  // 3
  feeder_->put(lane, 1);              // 4
  feeder_->refuse(lane, "oversize");  // 5
  feeder_->refuse(lane, "oversize");  // 6
  ASSERT_TRUE(spool_->flush());
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(spool_->state(lane).next_seq, 7U);
    EXPECT_EQ(spool_->state(lane).cursor, 0U);
    EXPECT_EQ(spool_->state(lane).quarantined, 0U);
    std::vector<Seq> seqs;
    for (const auto& [seq, body] : read_all(*spool_, lane)) seqs.push_back(seq);
    EXPECT_EQ(seqs, (std::vector<Seq>{1, 2, 4}));
    reopen();
  }
  spool_->acknowledge(lane, 2);
  EXPECT_EQ(spool_->state(lane).cursor, 3U);
  spool_->acknowledge(lane, 4);
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(spool_->state(lane).cursor, 6U) << "nothing is left that could be delivered";
    EXPECT_EQ(spool_->state(lane).quarantined, 3U);
    EXPECT_EQ(spool_->state(lane).delivered(), 3U);
    reopen();
  }
}

TEST_F(SpoolTest, ARecordTheSpoolCouldNeverHoldGoesToQuarantineInsteadOfBlockingAll) {
  options_.max_size_bytes = 4 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 1, 1 << 20);
  feeder_->put(lane, 1);
  ASSERT_TRUE(spool_->flush());
  spool_->acknowledge(lane, 2);
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  EXPECT_EQ(rows("SELECT length(record), reason LIKE '%1048576 bytes%' FROM quarantine").at(0),
            "65536|1");
}

// Fills the spool with 20 KB records until a flush finds no room. Returns how many are durable
// then.
uint64_t fill(Spool& spool, Feeder& feeder, Watcher& watcher, LaneId lane) {
  for (int i = 0; i < 1000; ++i) {
    feeder.put(lane, 1, 20000);
    const auto flushed = spool.flush();
    if (!flushed) {
      EXPECT_EQ(flushed.error().kind, ErrorKind::kFull) << flushed.error().what;
      return watcher.durable(1);
    }
  }
  ADD_FAILURE() << "never full";
  return 0;
}

TEST_F(SpoolTest, WhenFullNothingIsLostAndAcknowledgementsMakeRoom) {
  options_.max_size_bytes = 4 << 20;
  options_.queue_bytes = 200 << 10;
  within_ = Millis(1);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const uint64_t held = fill(*spool_, *feeder_, *watcher_, lane);
  EXPECT_LT(held, feeder_->source_seq()) << "the last one waits";
  EXPECT_GT(held, 50U);
  int refused = 0;
  while (spool_->enqueue(feeder_->take(lane, 1, 20000)) == Enqueue::kTaken)
    ASSERT_LT(++refused, 100);
  feeder_->undo(lane, 1);
  EXPECT_EQ(watcher_->rooms(), 0);
  EXPECT_TRUE(watcher_->faults().empty()) << "full is no fault";
  const auto stored = read_all(*spool_, lane);
  EXPECT_EQ(stored.size(), held) << "what was committed stays readable";
  // Quarantine works on a full spool too, out of the reserve.
  spool_->quarantine(lane, 2, "poison");
  spool_->acknowledge(lane, held);
  EXPECT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()))
      << "what waited is committed once there is room";
  EXPECT_TRUE(watcher_->wait([](Watcher& w) { return w.rooms_ == 1; }))
      << "kFull promised an on_room";
  EXPECT_EQ(spool_->state(lane).next_seq, feeder_->source_seq() + 1);
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  const auto rest = read_all(*spool_, lane, held + 1);
  EXPECT_EQ(rest.size(), feeder_->source_seq() - held);
  for (const auto& [seq, body] : rest) EXPECT_EQ(body, Feeder::body(lane, seq, 20000));
  reopen();
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
  uintmax_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    size += entry.file_size();
  EXPECT_LE(size, options_.max_size_bytes + 64) << "but for the lock file";
}

TEST_F(SpoolTest, AFullSpoolStopsInTimeAndOpensAgain) {
  options_.max_size_bytes = 4 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  const uint64_t held = fill(*spool_, *feeder_, *watcher_, lane);
  reopen();
  EXPECT_EQ(spool_->state(lane).next_seq, held + 1);
  EXPECT_EQ(read_all(*spool_, lane).size(), held);
  spool_->acknowledge(lane, held);
  feeder_->put(lane, 20, 20000);
  EXPECT_TRUE(watcher_->wait_durable(1, 20));
}

TEST_F(SpoolTest, FillAndDrainManyTimesLosesNothing) {
  options_.max_size_bytes = 4 << 20;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  for (int round = 0; round < 6; ++round) {
    const uint64_t held = fill(*spool_, *feeder_, *watcher_, lane);
    EXPECT_EQ(read_all(*spool_, lane, spool_->state(lane).cursor + 1).rbegin()->first, held);
    spool_->acknowledge(lane, held);
    ASSERT_TRUE(watcher_->wait_durable(1, feeder_->source_seq()));
  }
}

TEST_F(SpoolTest, BelowMinFreeOnlyAcknowledgementsAreWritten) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 3);
  ASSERT_TRUE(spool_->flush());
  close();
  options_.min_free_bytes = uint64_t{1} << 60;
  open();
  feeder_->put(lane, 1);
  const auto flushed = spool_->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().kind, ErrorKind::kFull);
  EXPECT_NE(flushed.error().what.find("min_free"), std::string::npos) << flushed.error().what;
  EXPECT_EQ(watcher_->durable(1), 0U);
  spool_->acknowledge(lane, 3);
  EXPECT_FALSE(spool_->flush());
  close();
  EXPECT_EQ(query(dir_.path() / "1.db", "SELECT cursor FROM lane_state WHERE lane=1").at(0), "3");
  EXPECT_EQ(query(dir_.path() / "1.db", "SELECT count(*) FROM seg").at(0), "0");
}

TEST_F(SpoolTest, TheQueueIsBoundedAndPromisesRoom) {
  options_.queue_bytes = 10000;
  within_ = Millis(600000);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 5, 10000);  // larger than the queue, but it was empty
  EXPECT_EQ(spool_->room(), 0U);
  EXPECT_EQ(spool_->enqueue(feeder_->take(lane, 2)), Enqueue::kFull);
  feeder_->undo(lane, 2);
  ASSERT_TRUE(spool_->flush());
  EXPECT_TRUE(watcher_->wait([](Watcher& w) { return w.rooms_ == 1; }));
  EXPECT_EQ(spool_->room(), 10000U);
  feeder_->put(lane, 2);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(watcher_->rooms(), 1) << "no promise, no call";
}

TEST_F(SpoolTest, RecordsOutOfOrderAreRefusedAndChangeNothing) {
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 2);
  auto jump = feeder_->take(lane, 2);
  jump.erase(jump.begin());
  EXPECT_EQ(spool_->enqueue(std::move(jump)), Enqueue::kClosed);
  feeder_->undo(lane, 2);
  auto unknown = feeder_->take(lane, 1);
  unknown[0].lane = 4711;
  EXPECT_EQ(spool_->enqueue(std::move(unknown)), Enqueue::kClosed);
  feeder_->undo(lane, 1);
  feeder_->put(lane, 1);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(lane).next_seq, 4U);
}

TEST_F(SpoolTest, StopCommitsEverythingAndClosesTheDoor) {
  within_ = Millis(600000);
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  feeder_->put(lane, 8);
  ASSERT_TRUE(spool_->flush());
  feeder_->put(lane, 2);
  spool_->acknowledge(lane, 5);
  spool_->quarantine(lane, 7, "x");
  spool_->stop();
  spool_->stop();
  EXPECT_EQ(watcher_->durable(1), 10U);
  EXPECT_EQ(spool_->enqueue(feeder_->take(lane, 1)), Enqueue::kClosed);
  const auto late = read_now(*spool_, lane, 1);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kShutdown);
  EXPECT_EQ(spool_->flush().error().kind, ErrorKind::kShutdown);
  spool_.reset();
  open();
  EXPECT_EQ(spool_->state(lane).next_seq, 11U);
  EXPECT_EQ(spool_->state(lane).cursor, 5U);
  spool_->acknowledge(lane, 10);
  EXPECT_EQ(spool_->state(lane).quarantined, 1U);
}

TEST_F(SpoolTest, ManyThreadsMayCallEverything) {
  options_.max_size_bytes = 8 << 20;
  options_.queue_bytes = 128 << 10;
  options_.tail_bytes = 64 << 10;
  open();
  const LaneId lane = spool_->lane({"r", "t"});
  constexpr uint64_t kRecords = 3000;
  std::atomic<bool> end{false};
  std::thread producer([&] {
    for (uint64_t i = 0; i < kRecords; ++i) {
      while (spool_->enqueue(feeder_->take(lane, 1, 500)) != Enqueue::kTaken) {
        feeder_->undo(lane, 1);
        std::this_thread::yield();
      }
      if (i % 50 == 0) spool_->flush_hint();
    }
  });
  std::thread looker([&] {
    while (!end) {
      spool_->lanes();
      spool_->counters();
      spool_->room();
      spool_->segment_range(lane, 1);
      spool_->lane({"r", "another"});
      EXPECT_TRUE(spool_->flush());
    }
  });
  Seq next = 1;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (next <= kRecords && std::chrono::steady_clock::now() < deadline) {
    const auto segment = read_now(*spool_, lane, next);
    ASSERT_TRUE(segment);
    if (*segment == nullptr) continue;
    EXPECT_EQ((*segment)->first(), next) << "segments follow each other without a gap";
    next = (*segment)->last() + 1;
    if (next % 7 == 0) spool_->quarantine(lane, next - 1, "seven");
    spool_->acknowledge(lane, next - 1);
  }
  EXPECT_EQ(next, kRecords + 1);
  producer.join();
  end = true;
  looker.join();
  EXPECT_EQ(spool_->state(lane).pending(), 0U);
}

}  // namespace
}  // namespace penstock::spool::testing
