// Imported records keep who numbered them and their number, meet no other lane, and are there once
// however often they are imported.
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_writer.h"
#include "tests/unit/spool_offline_fixture.h"

namespace penstock::spool::testing {
namespace {

const ImportOf kOf{"gw-dead/00000000000000aa/3", "route", "main.a.b"};

class OfflineImport : public OfflineSpoolTest {
 protected:
  Importer importer() {
    auto opened = Importer::open(dir(), 1 << 20, Log::none());
    if (!opened) {
      ADD_FAILURE() << opened.error().what;
      std::abort();
    }
    return std::move(*opened);
  }
  static std::string body(Seq seq) { return record_body(3, seq, 80); }
  static ImportOutcome add(Importer& importer, Seq seq, const ImportOf& of = kOf) {
    auto outcome = importer.add(of, seq, body(seq), {});
    EXPECT_TRUE(outcome) << outcome.error().what;
    return outcome ? *outcome : ImportOutcome::kBehind;
  }
  void import(Seq first, Seq last, const ImportOf& of = kOf) {
    auto importer = this->importer();
    for (Seq seq = first; seq <= last; ++seq)
      EXPECT_EQ(add(importer, seq, of), ImportOutcome::kTaken);
    ASSERT_TRUE(importer.finish());
  }
  // (origin, seq) of everything that waits.
  std::set<std::pair<std::string, Seq>> waiting() {
    std::set<std::pair<std::string, Seq>> seen;
    auto spool = OfflineSpool::open(dir());
    EXPECT_TRUE(spool) << spool.error().what;
    spool->for_each(
        {},
        [&](const OfflineRecord& record) {
          const auto name = spool->origin(*spool->lane(record.lane), record.epoch);
          EXPECT_TRUE(seen.insert({name, record.seq}).second) << name << " " << record.seq;
          return true;
        },
        [](const auto&, const auto&, const auto&) {});
    return seen;
  }
  static std::set<std::pair<std::string, Seq>> numbers(Seq first, Seq last,
                                                       const std::string& origin = kOf.origin) {
    std::set<std::pair<std::string, Seq>> all;
    for (Seq seq = first; seq <= last; ++seq) all.insert({origin, seq});
    return all;
  }
};

TEST_F(OfflineImport, ANewSpoolHoldsTheRecordsUnderTheirOwnOriginAndTheEngineReadsThem) {
  import(57, 300);
  EXPECT_EQ(waiting(), numbers(57, 300));
  EXPECT_TRUE(fsck(dir()).empty());
  open();
  const LaneState state = spool_->state(1);
  EXPECT_EQ(state.key.route, "route@" + kOf.origin);
  EXPECT_EQ(configured_route(state.key), "route");
  EXPECT_EQ(origin_lane(state.id, state.key), 3U);
  EXPECT_EQ(state.cursor, 56U);
  EXPECT_EQ(state.next_seq, 301U);
  EXPECT_EQ(state.damaged, 0U);
  const auto all = read_all(*spool_, 1, 57);
  ASSERT_EQ(all.size(), 244U);
  for (const auto& [seq, text] : all) EXPECT_EQ(text, body(seq));
  EXPECT_NE(spool_->epoch(), "00000000000000aa") << "nobody continues a dead device's epoch";
  spool_->stop();
}

// Written by itself it would go behind a log that is not settled yet: a cut there may take an
// acknowledged commit along.
TEST_F(OfflineImport, AnEpochGoesWithTheNextCommit) {
  fill_two_lanes(1);
  for (const bool commits : {false, true}) {
    {
      auto writer = OfflineWriter::open(dir(), 1, 1 << 20, Log::none());
      ASSERT_TRUE(writer) << writer.error().what;
      writer->add_epoch({77, "00000000000000bb", "gw", std::string(kImportedMachine), 5});
      if (commits) {
        ASSERT_TRUE(writer->commit());
      }
    }
    EXPECT_EQ(query(file(), "SELECT agent_id FROM epoch WHERE id=77").size(), commits ? 1U : 0U);
  }
}

// A device exported records, went on, and was exported again.
TEST_F(OfflineImport, WhatWasDeliveredBetweenTwoExportsIsNotMissing) {
  import(50, 100);
  {
    auto importer = this->importer();
    const auto gap = importer.add_gap(kOf, {1, 200}, "delivered", 0, "");
    ASSERT_TRUE(gap) << gap.error().what;
    EXPECT_EQ(*gap, ImportOutcome::kTaken);
    for (Seq seq = 201; seq <= 210; ++seq) EXPECT_EQ(add(importer, seq), ImportOutcome::kTaken);
    ASSERT_TRUE(importer.finish());
  }
  EXPECT_TRUE(fsck(dir()).empty());
  open();
  const LaneState state = spool_->state(1);
  EXPECT_EQ(state.damaged, 0U);
  EXPECT_EQ(state.cursor, 49U);
  EXPECT_EQ(state.delivered(), 49U) << "as before any import";
  EXPECT_EQ(state.next_seq, 211U);
  EXPECT_EQ(read_all(*spool_, 1, 50).size(), 61U);
  spool_->acknowledge(1, 210);
  ASSERT_TRUE(spool_->flush());
  EXPECT_EQ(spool_->state(1).discarded, 100U);
  expect_balanced(spool_->state(1));
  close();
}

TEST_F(OfflineImport, WhatIsKnownToBeDeliveredIsNotSentAgain) {
  {
    auto importer = this->importer();
    ASSERT_TRUE(importer.add_gap(kOf, {1, 200}, "delivered", 0, ""));
    ASSERT_TRUE(importer.finish());
  }
  auto importer = this->importer();
  for (Seq seq = 50; seq <= 100; ++seq) EXPECT_EQ(add(importer, seq), ImportOutcome::kKnown);
  for (Seq seq = 201; seq <= 210; ++seq) EXPECT_EQ(add(importer, seq), ImportOutcome::kTaken);
  ASSERT_TRUE(importer.finish());
  EXPECT_EQ(waiting(), numbers(201, 210));
  open();
  EXPECT_EQ(spool_->state(1).delivered(), 200U);
  close();
}

TEST_F(OfflineImport, TwiceIsAsGoodAsOnce) {
  import(1, 50);
  auto again = importer();
  for (Seq seq = 1; seq <= 50; ++seq) EXPECT_EQ(add(again, seq), ImportOutcome::kKnown);
  for (Seq seq = 51; seq <= 60; ++seq) EXPECT_EQ(add(again, seq), ImportOutcome::kTaken);
  for (Seq seq = 51; seq <= 60; ++seq) EXPECT_EQ(add(again, seq), ImportOutcome::kKnown);
  ASSERT_TRUE(again.finish());
  EXPECT_EQ(waiting(), numbers(1, 60));
}

TEST_F(OfflineImport, WhatWasDeliveredFromHereIsNotTakenAgain) {
  import(1, 50);
  open();
  spool_->acknowledge(1, 30);
  ASSERT_TRUE(spool_->flush());
  close();
  auto again = importer();
  for (Seq seq = 1; seq <= 50; ++seq) EXPECT_NE(add(again, seq), ImportOutcome::kTaken);
  ASSERT_TRUE(again.finish());
  EXPECT_EQ(waiting(), numbers(31, 50));
}

TEST_F(OfflineImport, OwnLanesAndSeveralDevicesDoNotMeet) {
  open();
  const LaneId own = lane("main.a.b");
  put(own, 5, 50);
  const std::string own_origin = spool_->origin_prefix() + "/" + std::to_string(own);
  close();
  const ImportOf other{"gw-other/00000000000000bb/3", "route", "main.a.b"};
  const ImportOf older{"gw-dead/0000000000000099/3", "route", "main.a.b"};
  for (const auto& of : {kOf, other, older}) import(1, 5, of);
  auto wanted = numbers(1, 5, own_origin);
  for (const auto& of : {kOf, other, older}) wanted.merge(numbers(1, 5, of.origin));
  EXPECT_EQ(waiting(), wanted);
  // The own lane goes on where it was.
  open();
  next_.clear();
  EXPECT_EQ(spool_->lane({"route", "main.a.b"}), own);
  EXPECT_EQ(spool_->state(own).next_seq, 6U);
  put(own, 1, 50);
  EXPECT_EQ(spool_->state(own).pending(), 6U);
  close();
}

TEST_F(OfflineImport, AnUnsortedFileAndAnInterruptedImportLoseNothing) {
  {
    auto first = importer();
    for (Seq seq : {40, 41, 10, 39, 11}) EXPECT_EQ(add(first, seq), ImportOutcome::kTaken);
    ASSERT_TRUE(first.finish());
  }
  auto wanted = numbers(10, 11);
  wanted.merge(numbers(39, 41));
  EXPECT_EQ(waiting(), wanted);
  auto again = importer();  // the numbers in between and before arrive later
  for (Seq seq = 5; seq <= 38; ++seq) {
    EXPECT_EQ(add(again, seq),
              seq == 10 || seq == 11 ? ImportOutcome::kKnown : ImportOutcome::kTaken);
  }
  ASSERT_TRUE(again.finish());
  EXPECT_EQ(waiting(), numbers(5, 41));
  EXPECT_TRUE(fsck(dir()).empty());
  open();
  EXPECT_EQ(read_all(*spool_, 1, 5).size(), 37U);
  EXPECT_EQ(spool_->state(1).damaged, 0U);
  EXPECT_EQ(spool_->state(1).cursor, 4U);
  close();
  auto late = importer();  // an agent has passed them: they are told, not silently lost
  EXPECT_EQ(add(late, 3), ImportOutcome::kBehind);
  ASSERT_TRUE(late.finish());
}

TEST_F(OfflineImport, QuarantineAndFatesComeAlongAndTheAccountCloses) {
  auto importer = this->importer();
  ASSERT_TRUE(importer.add(kOf, 3, body(3), ImportQuarantine{7, "no such column"}));
  ASSERT_TRUE(importer.add_gap(kOf, {8, 9}, "damaged", 5, "torn"));
  ASSERT_TRUE(importer.add_gap(kOf, {12, 12}, "quarantined", 5, "poison"));
  for (Seq seq : {6, 7, 10, 11, 13}) EXPECT_EQ(add(importer, seq), ImportOutcome::kTaken);
  ASSERT_TRUE(importer.finish());
  for (const auto& finding : fsck(dir())) ADD_FAILURE() << finding.what;
  open();
  spool_->acknowledge(1, 13);
  const LaneState state = spool_->state(1);
  EXPECT_EQ(state.quarantined, 1U);
  EXPECT_EQ(state.damaged, 3U);
  EXPECT_EQ(state.pending(), 0U);
  close();
  EXPECT_EQ(query(file(), "SELECT lane, seq, at_us, reason FROM quarantine"),
            std::vector<std::string>{"1|3|7|no such column"});
}

// The card of this very device comes back: what the spool still answers for is not doubled, what
// it has lost returns under its old name.
TEST_F(OfflineImport, RecordsOfThisSpoolItselfAreTakenOnlyWhereItLostThem) {
  open();
  const LaneId own = lane("main.a.b");
  for (int i = 0; i < 4; ++i) put(own, 5, 50);
  const std::string origin = spool_->origin_prefix() + "/" + std::to_string(own);
  spool_->damaged(own, 11, 15, "torn");
  spool_->acknowledge(own, 2);
  ASSERT_TRUE(spool_->flush());
  close();
  const ImportOf of{origin, "route", "main.a.b"};
  auto importer = this->importer();
  for (Seq seq = 1; seq <= 20; ++seq) {
    const bool lost = seq >= 11 && seq <= 15;
    EXPECT_EQ(add(importer, seq, of), lost ? ImportOutcome::kTaken : ImportOutcome::kKnown) << seq;
  }
  ASSERT_TRUE(importer.finish());
  EXPECT_EQ(waiting(), numbers(3, 20, origin));
}

TEST_F(OfflineImport, NamesThatCannotBeAreRefusedAlone) {
  auto importer = this->importer();
  for (const char* origin :
       {"", "gw", "gw/1", "/e/1", "gw//1", "gw/e/", "gw/e/x", "gw/e/99999999999", "gw/e\n/1"}) {
    auto outcome = importer.add({origin, "route", "t"}, 1, "x", {});
    ASSERT_FALSE(outcome) << origin;
    EXPECT_EQ(outcome.error().kind, ErrorKind::kRejected);
    EXPECT_NE(outcome.error().what.find("origin"), std::string::npos) << outcome.error().what;
  }
  EXPECT_FALSE(importer.add({kOf.origin, "a@b", "t"}, 1, "x", {}));
  EXPECT_FALSE(importer.add({kOf.origin, "", "t"}, 1, "x", {}));
  EXPECT_EQ(add(importer, 5), ImportOutcome::kTaken);
  ASSERT_TRUE(importer.finish());
  EXPECT_EQ(waiting(), numbers(5, 5));
}

TEST_F(OfflineImport, ADamagedSpoolAndAForeignDirectoryAreLeftAlone) {
  std::filesystem::create_directories(dir());
  overwrite(dir() / "notes.txt", "mine");
  EXPECT_FALSE(Importer::open(dir(), 0, Log::none()));
  std::filesystem::remove_all(dir());
  fill_two_lanes(2);
  settle_log();
  std::string bytes = file_text(file());
  std::fill_n(bytes.begin(), kPage, '\0');
  overwrite(file(), bytes);
  const auto refused = Importer::open(dir(), 0, Log::none());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("repair"), std::string::npos) << refused.error().what;
  EXPECT_EQ(file_text(file()), bytes);
}

}  // namespace
}  // namespace penstock::spool::testing
