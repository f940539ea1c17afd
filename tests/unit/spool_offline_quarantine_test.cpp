// Records leave the quarantine to be sent again under the name they were numbered with, or for
// good; at every moment, and after a cut at any, each committed record has exactly one fate.
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_quarantine.h"
#include "agent/spool/replayed_record.h"
#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

// The account of a whole spool, as P2 has it.
struct Account {
  uint64_t committed = 0;  // by sources
  uint64_t delivered = 0;
  uint64_t in_quarantine = 0;
  uint64_t discarded = 0;
  uint64_t others = 0;  // dropped, damaged, missing
  uint64_t pending = 0;
  auto operator<=>(const Account&) const = default;
};
void PrintTo(const Account& a, std::ostream* out) {
  *out << a.committed << " = delivered " << a.delivered << " + quarantine " << a.in_quarantine
       << " + discarded " << a.discarded << " + others " << a.others << " + pending " << a.pending;
}

Account account_of(const std::filesystem::path& dir) {
  auto spool = OfflineSpool::open(dir);
  if (!spool) {
    ADD_FAILURE() << spool.error().what;
    return {};
  }
  Account sum;
  for (const auto& [id, lane] : spool->lanes()) {
    sum.committed += lane.committed() - lane.replayed;
    sum.delivered += lane.delivered();
    sum.in_quarantine += lane.quarantined;
    sum.discarded += lane.discarded;
    sum.others += lane.dropped + lane.damaged + lane.missing;
    sum.pending += lane.pending;
    EXPECT_EQ(lane.quarantined, lane.quarantine.size()) << "lane " << id;
  }
  EXPECT_EQ(sum.committed,
            sum.delivered + sum.in_quarantine + sum.discarded + sum.others + sum.pending);
  CheckCounts counts;
  for (const auto& finding : check_spool(*spool, counts)) ADD_FAILURE() << finding.what;
  return sum;
}

using Texts = std::vector<std::string>;

class OfflineQuarantine : public OfflineSpoolTest {
 protected:
  // Lane 1: 20 records, 4 and 9 refused, all behind the cursor. Lane 0: two that no route took.
  void fill() {
    open();
    const LaneId one = lane("main.a.one");
    put(one, 20, 60);
    spool_->quarantine(one, 4, "no such column: speed");
    spool_->quarantine(one, 9, "refused by the service: 7");
    spool_->acknowledge(one, 20);
    put(kUnroutedLane, 2, 40, "no route matches");
    origin_ = spool_->origin_prefix() + "/1";
    ASSERT_TRUE(spool_->flush());
    close();
    ASSERT_EQ(account_of(dir()), (Account{22, 18, 4, 0, 0, 0}));
  }
  QuarantineEdit replay(const QuarantineFilter& filter, const ReplayTarget& target = {}) {
    auto edit = replay_quarantine(dir(), filter, target, Log::none());
    EXPECT_TRUE(edit) << edit.error().what;
    return edit ? *edit : QuarantineEdit{};
  }
  static QuarantineFilter of_lane(LaneId id) {
    QuarantineFilter filter;
    filter.lane = id;
    return filter;
  }
  // What the engine would send from the lane of `key`: names and bodies without them.
  std::map<std::pair<std::string, Seq>, std::string> sent(const LaneKey& key) {
    std::map<std::pair<std::string, Seq>, std::string> out;
    open();
    const LaneId id = spool_->lane(key);
    for (const auto& [seq, body] : read_all(*spool_, id, spool_->state(id).cursor + 1)) {
      std::vector<AttributeView> attributes;
      auto view = decode_record(body, attributes);
      EXPECT_TRUE(view);
      const auto name = take_name(*view, attributes);
      EXPECT_TRUE(name);
      std::string plain;
      encode_record(*view, plain);
      if (name) out[{std::string(name->origin), name->seq}] = plain;
    }
    close();
    return out;
  }
  // As the agent does once they are acknowledged.
  void deliver(const LaneKey& key) {
    open();
    const LaneId id = spool_->lane(key);
    spool_->acknowledge(id, spool_->state(id).next_seq - 1);
    ASSERT_TRUE(spool_->flush());
    close();
  }

  const LaneKey again_{"route@replay/1", "main.a.one"};
  std::string origin_;
};

TEST_F(OfflineQuarantine, ReplayedRecordsWaitUnderTheirOldNameAndTheAccountStaysExact) {
  fill();
  const auto edit = replay(of_lane(1));
  EXPECT_EQ(edit.done, 2U);
  EXPECT_TRUE(edit.left.empty());
  EXPECT_EQ(account_of(dir()), (Account{22, 18, 2, 0, 0, 2}));
  EXPECT_EQ(configured_route(again_), "route");
  const auto all = sent(again_);
  ASSERT_EQ(all.size(), 2U);
  for (const Seq seq : {4, 9}) EXPECT_EQ(all.at({origin_, seq}), record_body(1, seq, 60)) << seq;
  deliver(again_);
  EXPECT_EQ(account_of(dir()), (Account{22, 20, 2, 0, 0, 0}));
}

TEST_F(OfflineQuarantine, ASecondReplayFindsNothing) {
  fill();
  EXPECT_EQ(replay(of_lane(1)).done, 2U);
  const auto before = account_of(dir());
  EXPECT_EQ(replay(of_lane(1)).done, 0U);
  EXPECT_EQ(account_of(dir()), before);
  deliver(again_);
  EXPECT_EQ(replay(of_lane(1)).done, 0U);
  EXPECT_EQ(sent(again_).size(), 0U);
}

TEST_F(OfflineQuarantine, FiltersTakeWhatTheySay) {
  fill();
  QuarantineFilter filter;
  filter.reason = "NO SUCH";
  EXPECT_EQ(replay(filter).done, 1U);
  filter = {};
  filter.seqs = {5, 9};
  EXPECT_EQ(replay(filter).done, 1U);
  EXPECT_EQ(sent(again_).size(), 2U);
}

TEST_F(OfflineQuarantine, ARecordRefusedAgainKeepsItsNameThroughTheNextReplay) {
  fill();
  EXPECT_EQ(replay(of_lane(1)).done, 2U);
  open();
  const LaneId id = spool_->lane(again_);
  spool_->quarantine(id, 1, "still no such column");
  spool_->acknowledge(id, 2);
  ASSERT_TRUE(spool_->flush());
  close();
  EXPECT_EQ(account_of(dir()), (Account{22, 19, 3, 0, 0, 0}));
  EXPECT_EQ(replay(of_lane(id)).done, 1U);
  EXPECT_EQ(account_of(dir()), (Account{22, 19, 2, 0, 0, 1}));
  const LaneKey next{"route@replay/" + std::to_string(id), "main.a.one"};
  const auto all = sent(next);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.begin()->first, std::pair(origin_, Seq{4}));
  EXPECT_EQ(all.begin()->second, record_body(1, 4, 60));
}

TEST_F(OfflineQuarantine, AnotherTableTakesThemAndTheFirstKnowsWhereTheyWent) {
  fill();
  EXPECT_EQ(replay(of_lane(1), {"", "main.a.two"}).done, 2U);
  EXPECT_EQ(sent({"route@replay/1", "main.a.two"}).size(), 2U);
  const auto spool = OfflineSpool::open(dir());
  ASSERT_EQ(spool->lane(1)->fates.size(), 2U);
  EXPECT_EQ(spool->lane(1)->fates[0].reason, "replayed to main.a.two");
  EXPECT_EQ(spool->lane(1)->discarded, 0U);
}

// Neighbours of one fate are one row.
TEST_F(OfflineQuarantine, WhereARecordWentAtLastIsWhatItsNumberSays) {
  open();
  const LaneId one = lane("main.a.one");
  put(one, 20, 60);
  for (Seq seq = 4; seq <= 8; ++seq) spool_->quarantine(one, seq, "no such column");
  spool_->acknowledge(one, 20);
  ASSERT_TRUE(spool_->flush());
  close();
  EXPECT_EQ(replay({}, {"", "main.a.two"}).done, 5U);
  EXPECT_EQ(query(file(), "SELECT first_seq, last_seq FROM fate"), Texts{"4|8"});
  open();
  const LaneId two = spool_->lane({"route@replay/1", "main.a.two"});
  for (Seq seq = 1; seq <= 5; ++seq) spool_->quarantine(two, seq, "no such column");
  spool_->acknowledge(two, 5);
  ASSERT_TRUE(spool_->flush());
  close();
  QuarantineFilter filter = of_lane(two);
  filter.seqs = {3, 4};
  EXPECT_EQ(replay(filter, {"", "main.a.three"}).done, 2U);
  filter.seqs = {1, 1};
  EXPECT_EQ(replay(filter, {"", "main.a.one"}).done, 1U);
  EXPECT_EQ(query(file(), "SELECT first_seq, last_seq, reason FROM fate ORDER BY first_seq"),
            (Texts{"5|5|replayed to main.a.two", "6|7|replayed to main.a.three",
                   "8|8|replayed to main.a.two"}));
  EXPECT_EQ(account_of(dir()), (Account{20, 15, 2, 0, 0, 3}));
}

TEST_F(OfflineQuarantine, WhatNoRouteTookNeedsToBeToldWhere) {
  fill();
  auto edit = replay(of_lane(kUnroutedLane));
  EXPECT_EQ(edit.done, 0U);
  ASSERT_EQ(edit.left.size(), 1U);
  EXPECT_NE(edit.left.begin()->first.find("--route and --table"), std::string::npos);
  edit = replay(of_lane(kUnroutedLane), {"later", "main.a.one"});
  EXPECT_EQ(edit.done, 2U);
  const auto all = sent({"later@replay/0", "main.a.one"});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_TRUE(all.begin()->first.first.ends_with("/0"));
  EXPECT_EQ(account_of(dir()), (Account{22, 18, 2, 0, 0, 2}));
}

TEST_F(OfflineQuarantine, BeforeItsTurnARecordGoesBackIntoItsLane) {
  open();
  const LaneId one = lane("main.a.one");
  put(one, 10, 60);
  spool_->quarantine(one, 7, "no such column");
  spool_->acknowledge(one, 3);
  ASSERT_TRUE(spool_->flush());
  close();
  ASSERT_EQ(account_of(dir()), (Account{10, 3, 1, 0, 0, 6}));
  EXPECT_EQ(replay(of_lane(one), {"", "main.a.two"}).done, 0U);
  EXPECT_EQ(replay(of_lane(one)).done, 1U);
  EXPECT_EQ(account_of(dir()), (Account{10, 3, 0, 0, 0, 7}));
  open();
  const auto all = read_all(*spool_, one, 4);
  EXPECT_EQ(all.at(7), record_body(one, 7, 60));
  EXPECT_EQ(spool_->decided_parts(one, {4, 10}), std::vector<SeqRange>{}) << "it is sent";
  EXPECT_EQ(spool_->state(one).pending(), 7U);
  EXPECT_EQ(spool_->state(one).damaged, 0U);
  close();
}

TEST_F(OfflineQuarantine, DiscardedRecordsAreCountedAsThat) {
  fill();
  auto edit = discard_quarantine(dir(), of_lane(1), 1'700'000'000'000'000, Log::none());
  ASSERT_TRUE(edit) << edit.error().what;
  EXPECT_EQ(edit->done, 2U);
  EXPECT_EQ(account_of(dir()), (Account{22, 18, 2, 2, 0, 0}));
  open();
  EXPECT_EQ(spool_->state(1).discarded, 2U);
  EXPECT_EQ(spool_->state(1).quarantined, 0U);
  EXPECT_EQ(spool_->state(1).delivered(), 18U);
  close();
  edit = discard_quarantine(dir(), of_lane(1), 0, Log::none());
  EXPECT_EQ(edit->done, 0U);
}

// While its lane is held or has a backlog, a record that was refused lies ahead of the cursor.
TEST_F(OfflineQuarantine, BeforeItsTurnARecordCanBeDiscardedToo) {
  open();
  const LaneId one = lane("main.a.one");
  put(one, 20, 60);
  spool_->quarantine(one, 4, "no such column: speed");
  spool_->quarantine(one, 9, "refused by the service: 7");
  spool_->acknowledge(one, 2);
  ASSERT_TRUE(spool_->flush());
  close();
  ASSERT_EQ(account_of(dir()), (Account{20, 2, 2, 0, 0, 16}));
  const auto edit = discard_quarantine(dir(), of_lane(one), 1'700'000'000'000'000, Log::none());
  ASSERT_TRUE(edit) << edit.error().what;
  EXPECT_EQ(edit->done, 2U);
  EXPECT_TRUE(edit->left.empty());
  EXPECT_EQ(account_of(dir()), (Account{20, 2, 0, 2, 0, 16}));
  open();
  EXPECT_TRUE(spool_->decided(one, {4, 4})) << "the lane goes on behind it";
  EXPECT_TRUE(spool_->decided(one, {9, 9}));
  EXPECT_FALSE(spool_->decided(one, {3, 3}));
  EXPECT_EQ(spool_->decided_parts(one, {1, 20}), (std::vector<SeqRange>{{1, 2}, {4, 4}, {9, 9}}))
      << "and the ones beside them in the segment are sent";
  spool_->acknowledge(one, 3);
  EXPECT_EQ(spool_->state(one).cursor, 4U) << "it is passed at once";
  spool_->acknowledge(one, 20);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(one).discarded, 2U);
  EXPECT_EQ(spool_->state(one).quarantined, 0U);
  EXPECT_EQ(spool_->state(one).delivered(), 18U);
  close();
  EXPECT_EQ(account_of(dir()), (Account{20, 18, 0, 2, 0, 0}));
}

TEST_F(OfflineQuarantine, WhatIsNotWholeStaysWithItsReason) {
  open();
  const LaneId one = lane("main.a.one");
  put(one, 1, 60, "record of 9 bytes is larger than this spool takes (1); cut off here");
  put(one, 1, 60);
  std::vector<Pending> records(1);
  records[0] = {one, 3, 1, 3, 0, Millis(5), "no record", "broken"};
  ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
  ASSERT_TRUE(spool_->flush());
  spool_->acknowledge(one, 3);
  ASSERT_TRUE(spool_->flush());
  close();
  const auto edit = replay(of_lane(one));
  EXPECT_EQ(edit.done, 0U);
  EXPECT_EQ(edit.left.size(), 2U);
  EXPECT_EQ(account_of(dir()), (Account{3, 1, 2, 0, 0, 0}));
}

TEST_F(OfflineQuarantine, MuchMoreThanATransactionHoldsGoesInSeveralAndTheLogStaysShort) {
  open();
  const LaneId one = lane("main.a.one");
  for (int i = 0; i < 100; ++i) {
    put(one, 1, 100'000);
    spool_->quarantine(one, static_cast<Seq>(i) + 1, "no such column");
    spool_->acknowledge(one, static_cast<Seq>(i) + 1);
  }
  ASSERT_TRUE(spool_->flush());
  close();
  ASSERT_EQ(account_of(dir()), (Account{100, 0, 100, 0, 0, 0}));
  EXPECT_EQ(replay(of_lane(one)).done, 100U);
  EXPECT_EQ(account_of(dir()), (Account{100, 0, 0, 0, 0, 100}));
  EXPECT_LT(std::filesystem::file_size(dir() / "1.db-wal"), 8'000'000U) << "of 10 MB of records";
  EXPECT_EQ(sent({"route@replay/1", "main.a.one"}).size(), 100U);
}

TEST_F(OfflineQuarantine, MuchMoreThanATransactionHoldsMayStayAndWhatIsBehindItGoes) {
  fill();
  open();
  put(kUnroutedLane, 30, 100'000, "no route matches");
  ASSERT_TRUE(spool_->flush());
  close();
  const auto edit = replay({});
  EXPECT_EQ(edit.done, 2U);
  ASSERT_EQ(edit.left.size(), 1U);
  EXPECT_EQ(edit.left.begin()->second, 32U);
}

TEST_F(OfflineQuarantine, WhatLiesInAnOlderFileStaysUntilThatIsEmptied) {
  fill();
  settle_log();
  std::filesystem::copy_file(file(), dir() / "2.db");
  query(dir() / "2.db", "DELETE FROM quarantine; UPDATE lane_state SET first_seq=1000");
  const auto edit = replay(of_lane(1));
  EXPECT_EQ(edit.done, 0U);
  ASSERT_EQ(edit.left.size(), 1U);
  EXPECT_NE(edit.left.begin()->first.find("still emptying"), std::string::npos);
  EXPECT_EQ(edit.left.begin()->second, 2U);
}

TEST_F(OfflineQuarantine, RecordsOfAnotherDeviceKeepItsName) {
  const ImportOf of{"gw-dead/00000000000000aa/3", "route", "main.a.b"};
  auto importer = Importer::open(dir(), 1 << 20, Log::none());
  ASSERT_TRUE(importer) << importer.error().what;
  ASSERT_TRUE(importer->add(of, 5, record_body(3, 5, 60), ImportQuarantine{1, "no such column"}));
  ASSERT_TRUE(importer->add(of, 6, record_body(3, 6, 60), {}));
  ASSERT_TRUE(importer->finish());
  open();
  spool_->acknowledge(1, 6);
  ASSERT_TRUE(spool_->flush());
  close();
  EXPECT_EQ(replay({}).done, 1U);
  const auto all = sent({"route@replay/1", "main.a.b"});
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.begin()->first, std::pair(of.origin, Seq{5}));
}

// One transaction: a power cut at any operation leaves all of it or nothing, and what is there then
// can be done again.
class OfflineQuarantineCut : public OfflineQuarantine,
                             public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Edits, OfflineQuarantineCut, ::testing::Bool(),
                         [](const auto& edit) { return edit.param ? "Replay" : "Discard"; });

TEST_P(OfflineQuarantineCut, APowerCutAtAnyMomentLeavesAllOfAnEditOrNothing) {
  fill();
  const auto edit = [&](const std::filesystem::path& where) {
    return GetParam() ? replay_quarantine(where, of_lane(1), {}, Log::none())
                      : discard_quarantine(where, of_lane(1), 1, Log::none());
  };
  const Account before{22, 18, 4, 0, 0, 0};
  const Account after = GetParam() ? Account{22, 18, 2, 0, 0, 2} : Account{22, 18, 2, 2, 0, 0};
  std::mt19937_64 random(test_seed());
  int seen_before = 0;
  int seen_after = 0;
  constexpr int kStep = 6;  // a sample that begins elsewhere each time
  for (int at = static_cast<int>(random() % kStep);; at += kStep) {
    SCOPED_TRACE("operation " + std::to_string(at));
    const auto work = dir_.path() / "work";
    const auto medium = dir_.path() / "medium";
    std::filesystem::copy(dir(), work);
    bool cut = false;
    {
      FaultVfs vfs;
      vfs.adopt(work);
      vfs.before_operation(at, [&] {
        cut = true;
        vfs.cut(work, medium, static_cast<FaultVfs::Survives>(random() % FaultVfs::kModes), random);
      });
      ASSERT_TRUE(edit(work));
    }
    if (cut) {
      const Account found = account_of(medium);
      EXPECT_TRUE(found == before || found == after) << ::testing::PrintToString(found);
      ++(found == before ? seen_before : seen_after);
      if (found == before) {
        EXPECT_EQ(edit(medium)->done, 2U);
      }
      EXPECT_EQ(account_of(medium), after);
    }
    std::filesystem::remove_all(work);
    std::filesystem::remove_all(medium);
    if (!cut || HasFailure()) break;
  }
  EXPECT_GT(seen_before, 0);
  EXPECT_GT(seen_after, 0);
}

}  // namespace
}  // namespace penstock::spool::testing
