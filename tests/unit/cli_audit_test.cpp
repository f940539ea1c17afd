// The query of `penstock audit --sql`: it reports every number that is not in the table and that
// the ledger of the spool does not explain, and no other. Run on a table beside a real spool.
#include "agent/cli/audit_query.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_quarantine.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::cli {
namespace {

using namespace spool::testing;
using spool::LaneId;
using Missing = std::vector<std::string>;  // "origin|first|last|records"

class Audit : public OfflineSpoolTest {
 protected:
  void SetUp() override {
    query(table_file(), "CREATE TABLE \"main.a.one\"(_origin TEXT, _seq INTEGER)");
    query(table_file(), "CREATE TABLE \"main.a.two\"(_origin TEXT, _seq INTEGER)");
  }
  std::filesystem::path table_file() const { return dir_.path() / "table.db"; }
  void land(const std::string& origin, uint64_t first, uint64_t last,
            const std::string& table = "main.a.one") {
    for (uint64_t seq = first; seq <= last; ++seq) {
      query(table_file(),
            "INSERT INTO \"" + table + "\" VALUES('" + origin + "'," + std::to_string(seq) + ")");
    }
  }
  Missing missing(const std::string& table = "main.a.one") {
    auto spool = spool::OfflineSpool::open(dir());
    EXPECT_TRUE(spool);
    return query(table_file(), audit_query("\"" + table + "\"", audit_ledger(*spool, table)));
  }
  void open_renamed() {
    spool::Options renamed = options();
    renamed.agent_id = "gw-renamed";
    spool_ = open_or_die(renamed);
    watcher_ = std::make_unique<Watcher>();
    spool_->start(*watcher_);
    next_.clear();
  }
  void rename_agent() {
    open_renamed();
    put(1, 1, 60);
    spool_->acknowledge(1, spool_->state(1).next_seq - 1);
    EXPECT_TRUE(spool_->flush());
    close();
  }
  void replay(spool::SeqRange seqs, LaneId from, const std::string& table) {
    spool::QuarantineFilter filter;
    if (!seqs.empty()) filter.seqs = seqs;
    filter.lane = from;
    const auto edit = replay_quarantine(dir(), filter, {"route", table}, Log::none());
    EXPECT_TRUE(edit && edit->done > 0);
  }
  // Everything that is sent to `table` again is acknowledged, or refused; of that the cursor passes
  // `passed`.
  void deliver(const std::string& table, bool refused = false, spool::Seq passed = 1000) {
    std::vector<spool::LaneKey> keys;
    {
      const auto spool = spool::OfflineSpool::open(dir());
      for (const auto& [id, lane] : spool->lanes()) {
        if (spool::replay_of(lane.key) && lane.key.table == table) keys.push_back(lane.key);
      }
    }
    open();
    for (const auto& key : keys) {
      const LaneId id = spool_->lane(key);
      const auto state = spool_->state(id);
      for (auto seq = state.cursor + 1; refused && seq < state.next_seq; ++seq)
        spool_->quarantine(id, seq, "no such column");
      spool_->acknowledge(id, std::min(passed, state.next_seq - 1));
    }
    EXPECT_TRUE(spool_->flush());
    close();
  }
  std::filesystem::path copy_of_spool() {
    auto copy = dir_.path() / "copy";
    std::filesystem::remove_all(copy);
    std::filesystem::copy(dir(), copy, std::filesystem::copy_options::recursive);
    return copy;
  }
  void restore(const std::filesystem::path& copy) {
    std::filesystem::remove_all(dir());
    std::filesystem::copy(copy, dir(), std::filesystem::copy_options::recursive);
  }
  // 20 records of lane 1, all with a fate but the last three; 5 and 9 are in the quarantine.
  std::string fill() {
    open();
    const LaneId one = lane("main.a.one");
    put(one, 20, 60);
    spool_->quarantine(one, 5, "no such column");
    spool_->quarantine(one, 9, "no such column");
    spool_->acknowledge(one, 17);
    std::string origin = spool_->origin_prefix() + "/1";
    EXPECT_TRUE(spool_->flush());
    close();
    return origin;
  }
};

TEST_F(Audit, WhatIsInQuarantineOrWaitsIsNotMissing) {
  const auto origin = fill();
  EXPECT_EQ(missing(), (Missing{origin + "|1|4|4", origin + "|6|8|3", origin + "|10|17|8"}))
      << "nothing landed yet";
}

TEST_F(Audit, AHoleIsFoundAtTheBeginningInBetweenAndAtTheEnd) {
  const auto origin = fill();
  land(origin, 1, 17);
  land(origin, 3, 4);  // twice is no harm
  EXPECT_EQ(missing(), Missing{});
  query(table_file(), "DELETE FROM \"main.a.one\" WHERE _seq IN (1, 11, 12, 17)");
  EXPECT_EQ(missing(), (Missing{origin + "|1|1|1", origin + "|11|12|2", origin + "|17|17|1"}));
}

// Unity Catalog makes no difference between main.A.One and main.a.one, and topics may name both.
TEST_F(Audit, TheLedgerOfATableIsFoundHoweverItsNameIsWritten) {
  const auto origin = fill();
  land(origin, 1, 16);
  EXPECT_EQ(missing("main.A.One"), Missing{origin + "|17|17|1"});
  replay({5, 5}, 1, "main.A.One");
  deliver("main.A.One");
  EXPECT_EQ(missing(), (Missing{origin + "|17|17|1"})) << "5 landed, 9 is in quarantine";
  query(table_file(), "DELETE FROM \"main.a.one\" WHERE _seq = 5");
  EXPECT_EQ(missing(), (Missing{origin + "|5|5|1", origin + "|17|17|1"}));
}

TEST_F(Audit, WithoutALedgerOnlyGapsBetweenRowsAreFoundAndNoneIsExplained) {
  const auto origin = fill();
  land(origin, 1, 4);
  land(origin, 6, 8);
  land(origin, 10, 12);
  EXPECT_EQ(query(table_file(), audit_query("\"main.a.one\"", {})),
            (Missing{origin + "|5|5|1", origin + "|9|9|1"}));
  query(table_file(), "DELETE FROM \"main.a.one\" WHERE _seq IN (1, 12)");
  EXPECT_EQ(query(table_file(), audit_query("\"main.a.one\"", {})),
            (Missing{origin + "|5|5|1", origin + "|9|9|1"}))
      << "the ends of an origin are known from the ledger only";
  EXPECT_EQ(missing(), (Missing{origin + "|1|1|1", origin + "|12|17|6"}));
}

TEST_F(Audit, DiscardedAndReplayedRecordsAreExplained) {
  const auto origin = fill();
  land(origin, 1, 4);
  land(origin, 6, 8);
  land(origin, 10, 17);
  spool::QuarantineFilter filter;
  filter.seqs = {5, 5};
  ASSERT_TRUE(discard_quarantine(dir(), filter, 1, Log::none()));
  EXPECT_EQ(missing(), Missing{});
  filter.seqs = {9, 9};
  ASSERT_TRUE(replay_quarantine(dir(), filter, {"", "main.a.two"}, Log::none()));
  EXPECT_EQ(missing(), Missing{}) << "it went to another table";
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "it waits to go there";
  deliver("main.a.two");
  EXPECT_EQ(missing(), Missing{}) << "the other one's audit asks for it";
  EXPECT_EQ(missing("main.a.two"), Missing{origin + "|9|9|1"}) << "and nobody else has it";
  land(origin, 9, 9, "main.a.two");
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "its neighbours never were for this table";
}

// The first, neighbours and the last of a lane; what no route took too.
TEST_F(Audit, EachRecordSentToAnotherTableIsAskedForThere) {
  open();
  const LaneId one = lane("main.a.one");
  put(one, 20, 60);
  for (const spool::Seq seq : {1, 7, 8, 20}) spool_->quarantine(one, seq, "no such column");
  spool_->acknowledge(one, 20);
  put(spool::kUnroutedLane, 3, 40, "no route matches");
  const std::string spool = spool_->origin_prefix();
  EXPECT_TRUE(spool_->flush());
  close();
  replay({}, one, "main.a.two");
  replay({2, 2}, spool::kUnroutedLane, "main.a.two");
  deliver("main.a.two");
  Missing all = {spool + "/0|2|2|1", spool + "/1|1|1|1", spool + "/1|7|8|2", spool + "/1|20|20|1"};
  EXPECT_EQ(missing("main.a.two"), all);
  rename_agent();
  EXPECT_EQ(missing("main.a.two").size(), 4u) << "under the new name";
  for (const int seq : {1, 7, 8, 20}) land(spool + "/1", seq, seq, "main.a.two");
  land(spool + "/0", 2, 2, "main.a.two");
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "they went out under the old one";
}

// Refused there as well: it is in the quarantine of the lane that sent it again.
TEST_F(Audit, WhereARecordWentAtLastIsWhereItIsAskedFor) {
  const auto origin = fill();
  land(origin, 1, 17);
  query(table_file(), "DELETE FROM \"main.a.one\" WHERE _seq IN (5, 9)");
  replay({}, 1, "main.a.two");
  deliver("main.a.two", true);
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "they are in quarantine";
  replay({1, 1}, 2, "main.a.three");  // number 5
  deliver("main.a.three");
  query(table_file(), "CREATE TABLE \"main.a.three\"(_origin TEXT, _seq INTEGER)");
  EXPECT_EQ(missing("main.a.three"), Missing{origin + "|5|5|1"});
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "it went on to the third";
  replay({2, 2}, 2, "main.a.one");  // number 9
  deliver("main.a.one", true);
  EXPECT_EQ(missing(), Missing{}) << "it is in quarantine";
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "it went back";
  spool::QuarantineFilter filter;
  filter.reason = "no such column";
  const auto back = copy_of_spool();
  replay({1, 1}, 4, "main.a.one");
  deliver("main.a.one");
  EXPECT_EQ(missing(), Missing{origin + "|9|9|1"}) << "its own table is to have it";
  restore(back);
  ASSERT_TRUE(discard_quarantine(dir(), filter, 1, Log::none()));
  EXPECT_EQ(missing(), Missing{});
  EXPECT_EQ(missing("main.a.two"), Missing{});
}

TEST_F(Audit, WhatWasSentElsewhereAndDiscardedThereIsExplained) {
  const auto origin = fill();
  for (const bool is_ahead : {false, true}) {
    const auto before = copy_of_spool();
    replay({}, 1, "main.a.two");
    deliver("main.a.two", true, is_ahead ? 0 : 2);
    spool::QuarantineFilter filter;
    filter.lane = 2;
    ASSERT_TRUE(discard_quarantine(dir(), filter, 1, Log::none()));
    EXPECT_EQ(missing("main.a.two"), Missing{}) << is_ahead;
    restore(before);
  }
}

TEST_F(Audit, ALaneThatGoesOnInANewEpochIsOneRowOfNumbers) {
  const auto old_origin = fill();
  land(old_origin, 1, 17);
  open_renamed();
  put(1, 5, 60);
  spool_->acknowledge(1, 24);
  const std::string origin = spool_->origin_prefix() + "/1";
  ASSERT_NE(origin, old_origin);
  close();
  land(old_origin, 18, 20);
  land(origin, 21, 24);
  EXPECT_EQ(missing(), Missing{});
  query(table_file(), "DELETE FROM \"main.a.one\" WHERE _seq IN (20, 21)");
  EXPECT_EQ(missing(), Missing{origin + "|20|21|2"});
}

}  // namespace
}  // namespace penstock::cli
