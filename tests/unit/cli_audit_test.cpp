// The query of `penstock audit --sql`: it reports every number that is not in the table and that
// the ledger of the spool does not explain, and no other. Run on a table beside a real spool.
#include "agent/cli/audit_query.h"
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
  // 20 records of lane 1, all with a fate but the last three; 5 and 9 are in the quarantine.
  std::string fill() {
    open();
    const LaneId one = lane("main.a.one");
    put(one, 20, 60);
    spool_->quarantine(one, 5, "no such column");
    spool_->quarantine(one, 9, "no such column");
    spool_->acknowledge(one, 17);
    const std::string origin = spool_->origin_prefix() + "/1";
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
  land(origin, 9, 9, "main.a.two");
  EXPECT_EQ(missing("main.a.two"), Missing{}) << "its neighbours never were for this table";
}

TEST_F(Audit, ALaneThatGoesOnInANewEpochIsOneRowOfNumbers) {
  const auto old_origin = fill();
  land(old_origin, 1, 17);
  spool::Options renamed = options();
  renamed.agent_id = "gw-renamed";
  spool_ = open_or_die(renamed);
  watcher_ = std::make_unique<Watcher>();
  spool_->start(*watcher_);
  next_.clear();
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
