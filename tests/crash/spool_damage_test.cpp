// Bytes on the medium that are not what was written: reported for the records concerned, counted,
// and got past.
#include <fstream>

#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

class SpoolDamage : public ::testing::Test {
 protected:
  // Segments of 5 records each, incompressible, in lane_.
  void fill(int segments) {
    open();
    lane_ = spool_->lane({"route", "main.a.b"});
    Feeder feeder(*spool_);
    for (int i = 0; i < segments; ++i) {
      feeder.put(lane_, 5, 3000);
      ASSERT_TRUE(spool_->flush());
    }
    close();
    // What is damaged must be in the database itself.
    query(file(), "PRAGMA wal_checkpoint(TRUNCATE)");
  }
  void open() {
    watcher_ = std::make_unique<Watcher>();
    spool_ = open_or_die(options_);
    spool_->start(*watcher_);
  }
  void close() {
    spool_->stop();
    spool_.reset();
  }
  std::filesystem::path file() const { return dir_.path() / "1.db"; }

  // Changes one byte of the body of `seq` in the file.
  void hit_record(Seq seq) {
    std::ifstream in(file(), std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), {});
    in.close();
    const auto at = bytes.find(Feeder::body(lane_, seq, 60));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 30] = static_cast<char>(bytes[at + 30] ^ 0x20);
    std::ofstream(file(), std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
  }

  TempDir dir_;
  Options options_ = options_in(dir_.path());
  LaneId lane_ = 0;
  std::unique_ptr<Watcher> watcher_;
  std::unique_ptr<Spool> spool_;
};

TEST_F(SpoolDamage, AHitSegmentIsNamedAndTheLaneGoesPastIt) {
  fill(4);
  hit_record(8);
  open();
  const auto bad = read_now(*spool_, lane_, 6);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().kind, ErrorKind::kCorrupt);
  for (const char* part : {"lane 1", "route", "main.a.b", "records 6..10", "checksum"}) {
    EXPECT_NE(bad.error().what.find(part), std::string::npos) << bad.error().what;
  }
  EXPECT_EQ(spool_->segment_range(lane_, 6), (SeqRange{6, 10}));
  EXPECT_TRUE(read_now(*spool_, lane_, 11)) << "others are not concerned";

  for (int time = 0; time < 2; ++time) spool_->damaged(lane_, 7, 7, "checksum mismatch");
  EXPECT_EQ(spool_->state(lane_).damaged, 0U) << "ahead of the cursor";
  const auto next = read_now(*spool_, lane_, 6);
  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->first(), 11U);
  spool_->acknowledge(lane_, 5);
  for (int time = 0; time < 2; ++time) {
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.cursor, 10U);
    EXPECT_EQ(state.damaged, 5U);
    EXPECT_EQ(state.delivered(), 5U);
    EXPECT_EQ(state.pending(), 10U);
    EXPECT_EQ(read_all(*spool_, lane_, 6).size(), 10U);
    close();
    EXPECT_EQ(query(file(), "SELECT lane, first_seq, last_seq, kind, reason FROM fate"),
              std::vector<std::string>{"1|6|10|1|checksum mismatch"});
    open();
  }
  EXPECT_TRUE(watcher_->faults().empty()) << "writing goes on";
}

TEST_F(SpoolDamage, WhatWasDecidedBeforeIsNotCountedTwice) {
  fill(3);
  open();
  spool_->quarantine(lane_, 7, "poison");
  spool_->acknowledge(lane_, 5);
  ASSERT_TRUE(spool_->flush());
  spool_->damaged(lane_, 1, 10, "lost");
  spool_->damaged(lane_, 1, 10, "lost");
  spool_->quarantine(lane_, 8, "gone already");
  for (int time = 0; time < 2; ++time) {
    const LaneState state = spool_->state(lane_);
    EXPECT_EQ(state.cursor, 10U);
    EXPECT_EQ(state.quarantined, 1U);
    EXPECT_EQ(state.damaged, 4U);
    EXPECT_EQ(state.delivered(), 5U);
    close();
    open();
  }
}

TEST_F(SpoolDamage, QuarantineOfAnUnreadableRecordKeepsTheReason) {
  fill(2);
  hit_record(3);
  open();
  spool_->quarantine(lane_, 3, "poison");
  spool_->acknowledge(lane_, 5);
  ASSERT_TRUE(spool_->flush());
  close();
  const auto rows = query(file(), "SELECT seq, length(record), reason FROM quarantine");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].rfind("3|0|poison (", 0), 0U) << rows[0];
}

TEST_F(SpoolDamage, ARowThatIsGoneIsCountedWhenTheSpoolIsOpened) {
  options_.index_unwritten = 1000;  // no row of the index names it
  fill(4);
  query(file(), "DELETE FROM seg WHERE first_seq=6");
  open();
  spool_->acknowledge(lane_, 5);
  for (int time = 0; time < 2; ++time) {
    EXPECT_EQ(spool_->state(lane_).cursor, 10U);
    EXPECT_EQ(spool_->state(lane_).damaged, 5U);
    EXPECT_EQ(spool_->state(lane_).next_seq, 21U);
    close();
    open();
  }
}

TEST_F(SpoolDamage, ASegmentInThePlaceOfAnotherIsNoticed) {
  fill(3);
  query(file(),
        "UPDATE seg SET payload=(SELECT payload FROM seg WHERE first_seq=1) WHERE first_seq=6");
  open();
  const auto swapped = read_now(*spool_, lane_, 6);
  ASSERT_FALSE(swapped);
  EXPECT_EQ(swapped.error().kind, ErrorKind::kCorrupt);
  EXPECT_NE(swapped.error().what.find("other records"), std::string::npos) << swapped.error().what;
}

// The columns have no checksum; the payload has, and knows.
TEST_F(SpoolDamage, WrongColumnsAreSetRightFromThePayload) {
  fill(4);
  const std::string other =
      "INSERT INTO lane_state(lane, route, table_name, cursor, next_seq) VALUES(7,'r','o',0,1);";
  const std::map<Seq, std::string> expected = [&] {
    open();
    auto all = read_all(*spool_, lane_);
    close();
    return all;
  }();
  ASSERT_EQ(expected.size(), 20U);
  const TempDir safe;
  copy_database(dir_.path(), safe.path());
  for (const char* damage :
       {"first_seq=4611686018427387000", "first_seq=-9", "first_seq=0", "first_seq=first_seq+1",
        "count=0", "count=-1", "count=count+1", "count=count-1", "count=4294967296", "lane=7",
        "lane=99", "lane=-1", "lane=9223372036854775807"}) {
    for (const char* row : {"1", "6", "16"}) {
      SCOPED_TRACE(std::string(damage) + " at " + row);
      copy_database(safe.path(), dir_.path());
      query(file(), other + "UPDATE seg SET " + damage + " WHERE first_seq=" + row);
      open();
      EXPECT_EQ(spool_->state(lane_).next_seq, 21U);
      EXPECT_EQ(spool_->state(lane_).damaged, 0U);
      EXPECT_EQ(spool_->state(7).next_seq, 1U);
      EXPECT_EQ(read_all(*spool_, lane_), expected);
      close();
    }
  }
}

// Every row of the ledger that cannot be ends the use of that file, not the agent.
TEST_F(SpoolDamage, ImpossibleLedgerRowsCostTheFileAndNoRecord) {
  fill(2);
  const TempDir safe;
  copy_database(dir_.path(), safe.path());
  for (const char* damage :
       {"UPDATE lane_state SET cursor=-1", "UPDATE lane_state SET next_seq=0",
        "UPDATE lane_state SET lane=4294967297", "UPDATE lane_state SET cursor=next_seq",
        "UPDATE lane_state SET first_seq=0", "UPDATE lane_state SET damaged=5",
        "INSERT INTO quarantine VALUES(1,9223372036854775807,1,0,'',x'')",
        "INSERT INTO fate VALUES(1,9,8,1,0,'')",
        "INSERT INTO fate VALUES(1,1,9223372036854775807,1,0,'')",
        "INSERT INTO fate VALUES(5,1,1,1,0,'')"}) {
    SCOPED_TRACE(damage);
    const TempDir copy;
    copy_database(safe.path(), copy.path());
    std::filesystem::copy_file(dir_.path() / "lanes", copy.path() / "lanes");
    query(copy.path() / "1.db", damage);
    options_ = options_in(copy.path());
    open();
    EXPECT_TRUE(std::filesystem::exists(copy.path() / "2.db"));
    EXPECT_EQ(spool_->state(lane_).next_seq, 11U);
    EXPECT_EQ(read_all(*spool_, lane_).size(), 10U);
    Feeder feeder(*spool_);
    feeder.put(lane_, 1);
    EXPECT_TRUE(spool_->flush());
    close();
  }
}

TEST_F(SpoolDamage, APageOfGarbageCostsTheFileAndNoRecord) {
  fill(8);
  // The free list is needed by the next insert and by nothing else.
  query(file(), "DELETE FROM seg WHERE first_seq=1; PRAGMA wal_checkpoint(TRUNCATE)");
  std::fstream database(file(), std::ios::in | std::ios::out | std::ios::binary);
  unsigned char trunk[4];
  database.seekg(32).read(reinterpret_cast<char*>(trunk), 4);
  const auto page = static_cast<long>(trunk[0]) << 24 | trunk[1] << 16 | trunk[2] << 8 | trunk[3];
  ASSERT_GT(page, 1);
  database.seekp((page - 1) * 4096).write(std::string(4096, '\xEE').data(), 4096);
  database.close();
  open();
  Feeder feeder(*spool_);
  feeder.put(lane_, 5, 3000);
  EXPECT_TRUE(spool_->flush());
  EXPECT_EQ(watcher_->durable(1), 5U);
  EXPECT_EQ(spool_->counters().rolls, 1U);
  EXPECT_TRUE(watcher_->faults().empty());
  EXPECT_EQ(read_all(*spool_, lane_, 6).size(), 40U);
}

// Whatever byte of the database is hit, opening and reading end in an answer, and no wrong record
// is handed out.
TEST_F(SpoolDamage, NoHitAnywhereCrashesOrChangesARecordUnnoticed) {
  fill(6);
  std::ifstream in(file(), std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), {});
  in.close();
  std::mt19937_64 random(test_seed());
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    const size_t pages = std::min<size_t>(good.size() / 4096, 60);
    const size_t at = random() % (pages * 4096);
    if (round % 3 == 0) {
      std::fill_n(bad.begin() + static_cast<long>(at & ~size_t{511}), 512,
                  static_cast<char>(random()));
    } else {
      bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    }
    const TempDir copy;
    std::ofstream(copy.path() / "1.db", std::ios::binary)
        .write(bad.data(), static_cast<long>(bad.size()));
    auto opened = Spool::open(options_in(copy.path()), Log::none());
    if (!opened) continue;
    Watcher watcher;
    (*opened)->start(watcher);
    for (Seq from = 1; from <= 30;) {
      const auto segment = read_now(**opened, lane_, from);
      if (!segment) {
        EXPECT_EQ(segment.error().kind, ErrorKind::kCorrupt);
        const SeqRange range = (*opened)->segment_range(lane_, from);
        (*opened)->damaged(lane_, std::max(from, range.first), range.last, segment.error().what);
        if (range.last < from) break;
        from = range.last + 1;
        continue;
      }
      if (*segment == nullptr) break;
      Seq seq = (*segment)->first();
      for (const auto& body : bodies_of(**segment)) {
        ASSERT_EQ(body, Feeder::body(lane_, seq, 3000)) << "byte " << at;
        ++seq;
      }
      from = seq;
    }
    Feeder feeder(**opened);
    (void)(*opened)->enqueue(feeder.take(lane_, 1));
    (*opened)->acknowledge(lane_, 20);
    (void)(*opened)->flush();
    (*opened)->stop();
  }
}

}  // namespace
}  // namespace penstock::spool::testing
