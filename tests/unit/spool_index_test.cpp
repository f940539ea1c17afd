// Goal: a spool of any size is opened, read and removed with a few entries of its index in memory,
// and what its rows say wrong costs nothing that is there. Method: spools of many more segments
// than the limits of options_in() let into memory.
#include "agent/spool/database.h"
#include "agent/spool/load.h"
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
  LaneId lane(int index) { return spool_->lane({"r", std::to_string(index)}); }
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
  const Sizing sizing = sizing_for(options_.max_size_bytes);
  auto db = open_existing(file(), sizing);
  ASSERT_TRUE(db);
  const auto loaded = load({{1, &*db, true}}, {}, 0, Log::none());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->index.size(), static_cast<size_t>(kLanes * kCommits));
  EXPECT_LE(loaded->index.entries(), 18U);
  EXPECT_EQ(loaded->index.live(1).bytes, bytes);
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
