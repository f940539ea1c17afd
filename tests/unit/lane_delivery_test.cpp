// Goal: a lane sends its records in order, releases only what the server acknowledged, and nothing
// that happens to a stream or a record makes it lose or skip one. Method: the driver with the real
// session over a spool and a transport in memory; the io_context is run by hand.
#include <random>
#include <thread>

#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

TEST_F(LaneTest, AStreamSaysWhichFormItsRowsHave) {
  codec::TableSchema table;
  table.columns.push_back({"n", {}, true, 0});
  table.columns[0].type.kind = codec::TypeKind::kInt;
  spool_.preload({"r", "a.b.c"}, {body_of(row_of(7))});
  auto encoder = codec::RowEncoder::make({}, table, codec::RowForm::kProto);
  ASSERT_TRUE(encoder) << encoder.error().what;
  const std::string descriptor = encoder->descriptor();
  lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(encoder), destination_,
                                 Log::none());
  lane_->start();
  run();
  ASSERT_EQ(streams_.size(), 1u);
  EXPECT_EQ(streams_[0]->open.encoding, zerobus::Encoding::kProto);
  EXPECT_EQ(streams_[0]->open.descriptor, descriptor);
  EXPECT_FALSE(descriptor.empty());
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{"\x08\x07"}));
}

codec::RowEncoder proto_encoder(const char* column) {
  codec::TableSchema table;
  table.columns.push_back({column, {}, true, 0});
  table.columns[0].type.kind = codec::TypeKind::kInt;
  codec::EncoderSpec spec;
  spec.unknown_fields = codec::UnknownFields::kIgnore;
  auto made = codec::RowEncoder::make(std::move(spec), table, codec::RowForm::kProto);
  EXPECT_TRUE(made);
  return *std::move(made);
}

TEST_F(LaneTest, TheTableIsAskedForBeforeEveryStreamAndAnewAfterARefusal) {
  std::vector<bool> asked;
  const auto source = [&](bool fresh, const auto& done) {
    asked.push_back(fresh);
    if (asked.size() == 1) return done(Error{ErrorKind::kTransient, "no link", {}});
    done(TableRows{proto_encoder(asked.size() == 2 ? "old" : "n")});
  };
  destination_->session.retry.held = Millis(0);
  spool_.preload({"r", "a.b.c"}, {body_of(row_of(7))});
  auto unused = codec::RowEncoder::make({});
  lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(unused), destination_,
                                 Log::none(), source);
  lane_->start();
  run();
  EXPECT_TRUE(streams_.empty()) << "nothing is known of the table";
  auto stream = next_stream(0);
  EXPECT_EQ(stream->open.descriptor, proto_encoder("old").descriptor());
  stream->close(zerobus::code::kUnavailable, "going down");
  run();
  stream = next_stream(1);
  EXPECT_EQ(stream->open.descriptor, proto_encoder("n").descriptor());
  stream->close(zerobus::code::kInvalidArgument, "no column n");
  run();
  stream = next_stream(2);
  EXPECT_EQ(asked, (std::vector<bool>{false, false, false, true}));
  stream->created();
  run();
  EXPECT_EQ(serve(*stream), (std::vector<std::string>{"\x08\x07"}));
  EXPECT_EQ(cursor(), 1u);
}

TEST_F(LaneTest, SendsEverythingInOrderAndReleasesOnlyWhatIsAcknowledged) {
  make_rows(5);
  ASSERT_EQ(streams_.size(), 1u);
  EXPECT_EQ(streams_[0]->open.table, "a.b.c");
  EXPECT_EQ(streams_[0]->open.bearer, "token");
  EXPECT_EQ(streams_[0]->open.encoding, zerobus::Encoding::kJson);
  streams_[0]->created();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 3u) << "one is under way, the others wait for it";
  EXPECT_EQ(cursor(), 0u);
  streams_[0]->written();
  run();
  EXPECT_EQ(cursor(), 0u) << "written is not acknowledged";
  streams_[0]->ack(0);
  run();
  EXPECT_EQ(cursor(), 2u);
  streams_[0]->ack(1);
  run();
  EXPECT_EQ(cursor(), 4u);
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[0].second),
            (std::vector<std::string>{row_of(1), row_of(2)}));
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[2].second), (std::vector<std::string>{row_of(5)}));
}

// The batch of so many rows uses up the rate of more than an hour.
class Pacing : public LaneTest, public testing::WithParamInterface<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(RowsASecond, Pacing, testing::Values(0, 1));

TEST_P(Pacing, AfterABatchTheNextWaitsAsLongAsItsRowsTakeAtTheConfiguredRate) {
  destination_->batch.max_bytes = 1 << 20;
  destination_->batch.max_rows = 4000;
  destination_->max_rows_per_s = GetParam();
  make_rows(4001);
  streams_.at(0)->created();
  run();
  EXPECT_EQ(streams_[0]->writes.size(), GetParam() == 0 ? 2u : 1u);
  streams_[0]->written();
  streams_[0]->ack(0);
  run();
  EXPECT_EQ(cursor(), 4000u) << "acknowledgements do not wait";
  EXPECT_EQ(streams_[0]->writes.size(), GetParam() == 0 ? 2u : 1u);
}

TEST_F(LaneTest, AfterALostStreamSendingGoesOnAtTheFirstUnacknowledgedRecord) {
  make_rows(6);
  streams_[0]->created();
  run();
  streams_[0]->written();
  run();
  streams_[0]->ack(0);
  run();
  streams_[0]->close(14, "connection reset");
  const auto second = next_stream(1);
  second->created();
  run();
  EXPECT_EQ(serve(*second), (std::vector<std::string>{row_of(3), row_of(4), row_of(5), row_of(6)}));
  EXPECT_EQ(second->writes[0].first, 0) << "offsets begin anew on each stream";
  EXPECT_EQ(cursor(), 6u);
}

// P3: a repeat is recognised by (origin, seq), so a record keeps its origin whatever the spool's
// has become since.
TEST_F(LaneTest, ARecordIsSentUnderTheOriginItWasNumberedWith) {
  auto column = Expression::parse("${meta.origin} ${meta.epoch}");
  ASSERT_TRUE(column);
  encoding_.columns.push_back({"o", *std::move(column), {}, {}, {}, {}});
  spool_.records_per_segment = 1;
  spool_.origins[1] = std::make_shared<const spool::Origin>(spool::Origin{"old/e1", "e1"});
  spool_.origins[3] = spool_.origins[1];
  make_rows(3);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]),
            (std::vector<std::string>{R"({"o":"old/e1/1 e1"})",
                                      R"({"o":"gw/0123456789abcdef/1 0123456789abcdef"})",
                                      R"({"o":"old/e1/1 e1"})"}));
}

TEST_F(LaneTest, ALateAckOfALostStreamReleasesNothing) {
  make_rows(2);
  streams_[0]->created();
  run();
  streams_[0]->written();
  run();
  streams_[0]->close(14);
  const auto second = next_stream(1);
  streams_[0]->ack(0);
  run();
  EXPECT_EQ(cursor(), 0u);
  second->created();
  run();
  EXPECT_EQ(serve(*second).size(), 2u);
  EXPECT_EQ(cursor(), 2u);
}

TEST_F(LaneTest, AMalformedRecordGoesToQuarantineAndTheOthersArrive) {
  make({row_of(1), "not json", row_of(3), "{\"n\":", row_of(5)});
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(1), row_of(3), row_of(5)}));
  const auto kept = spool_.quarantined(1);
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_FALSE(kept.at(2).empty());
  EXPECT_FALSE(kept.at(4).empty());
  EXPECT_EQ(cursor(), 5u);
}

TEST_F(LaneTest, AQuarantinedRecordDoesNotLetTheCursorOvertakeOneInFlight) {
  make({row_of(1), row_of(2), "bad"});
  streams_[0]->created();
  run();
  streams_[0]->written();
  run();
  EXPECT_EQ(spool_.quarantined(1).size(), 1u);
  EXPECT_EQ(cursor(), 0u);
  streams_[0]->ack(0);
  run();
  EXPECT_EQ(cursor(), 3u);
}

TEST_F(LaneTest, WhenNothingCanBeSentTheCursorStillPasses) {
  make({"bad", "worse"});
  if (!streams_.empty()) streams_[0]->created();
  run();
  EXPECT_EQ(spool_.quarantined(1).size(), 2u);
  EXPECT_EQ(cursor(), 2u);
}

// An overflow policy at work while the lane was away.
TEST_F(LaneTest, RecordsTheSpoolHasDroppedArePassedAndNotCalledDamaged) {
  spool_.dropped = {1, 3};
  make_rows(6);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(4), row_of(5), row_of(6)}));
  EXPECT_EQ(cursor(), 6u);
  EXPECT_TRUE(spool_.damaged_records().empty());
}

TEST_F(LaneTest, WhenAllThatWaitsWasDroppedTheLaneIsDone) {
  spool_.dropped = {4, 6};
  make_rows(6);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(1), row_of(2), row_of(3)}));
  EXPECT_EQ(cursor(), 6u);
  EXPECT_TRUE(spool_.damaged_records().empty());
}

// Until then they are on their way and the spool must not drop them.
TEST_F(LaneTest, ALostStreamTellsTheSpoolThatNothingIsOnItsWay) {
  make_rows(4);
  streams_[0]->created();
  run();
  EXPECT_TRUE(spool_.rewinds().empty());
  streams_[0]->close(14, "gone");
  run();
  EXPECT_EQ(spool_.rewinds()[1], 1u);
}

TEST_F(LaneTest, ADamagedSegmentIsCountedAndTheLaneGoesOnBehindIt) {
  spool_.unreadable = {1, 3};
  make_rows(5);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(4), row_of(5)}));
  EXPECT_EQ(spool_.damaged_records(), (std::set<spool::Seq>{1, 2, 3}));
  EXPECT_EQ(cursor(), 5u);
}

TEST_F(LaneTest, ASpoolThatCannotBeReadNowIsAskedAgainAndNothingIsSkipped) {
  spool_.read_error = Error{ErrorKind::kTransient, "input/output error", {}};
  make_rows(2);
  streams_[0]->created();
  run();
  EXPECT_TRUE(streams_[0]->writes.empty());
  EXPECT_EQ(cursor(), 0u);
  EXPECT_TRUE(spool_.damaged_records().empty());
  spool_.read_error.reset();
  for (int tries = 0; tries < 500 && streams_[0]->writes.empty(); ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(1), row_of(2)}));
}

TEST_F(LaneTest, ARestartBeginsBehindTheCursor) {
  make({row_of(1), row_of(2), row_of(3)}, 2);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (std::vector<std::string>{row_of(3)}));
}

TEST_F(LaneTest, ARefusedTokenIsReadAgain) {
  make_rows(1);
  streams_[0]->close(16, "expired");
  const auto second = next_stream(1);
  EXPECT_EQ(fresh_tokens_, 1);
  second->created();
  run();
  EXPECT_EQ(serve(*second).size(), 1u);
}

TEST_F(LaneTest, ATokenThatNoHeaderCanCarryIsReadAgain) {
  tokens_by_hand_ = true;
  destination_->session.retry.held = Millis(1);
  make_rows(1);
  token_requests_.at(0)(std::string(test::kUnsendable));
  for (int tries = 0; tries < 500 && token_requests_.size() < 2; ++tries) {
    run();
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  ASSERT_EQ(token_requests_.size(), 2u);
  EXPECT_TRUE(streams_.empty());
  EXPECT_EQ(fresh_tokens_, 1);
  token_requests_[1](std::string("mended"));
  run();
  ASSERT_EQ(streams_.size(), 1u);
}

TEST_F(LaneTest, AStreamIsOpenedWhenItsTokenArrivesAndNotBefore) {
  tokens_by_hand_ = true;
  make_rows(1);
  ASSERT_EQ(token_requests_.size(), 1u);
  EXPECT_TRUE(streams_.empty());
  std::thread elsewhere([&] { token_requests_[0](std::string("from another thread")); });
  elsewhere.join();
  EXPECT_TRUE(streams_.empty()) << "the lane acts on its own thread only";
  run();
  ASSERT_EQ(streams_.size(), 1u);
  EXPECT_EQ(streams_[0]->open.bearer, "from another thread");
}

TEST_F(LaneTest, ATokenThatCannotBeHadIsAskedForAgain) {
  tokens_by_hand_ = true;
  make_rows(1);
  token_requests_.at(0)(Error{ErrorKind::kTransient, "connection refused", {}});
  for (int tries = 0; tries < 500 && token_requests_.size() < 2; ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  ASSERT_EQ(token_requests_.size(), 2u);
  EXPECT_EQ(fresh_tokens_, 0) << "no token was refused";
  token_requests_[1](std::string("token"));
  run();
  ASSERT_EQ(streams_.size(), 1u);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]).size(), 1u);
}

TEST_F(LaneTest, ALateTokenOfAnOldAttemptOpensNothing) {
  tokens_by_hand_ = true;
  destination_->session.open_timeout = Millis(1);
  make_rows(1);
  for (int tries = 0; tries < 500 && token_requests_.size() < 2; ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  ASSERT_GE(token_requests_.size(), 2u);
  token_requests_[0](std::string("late"));
  run();
  EXPECT_TRUE(streams_.empty());
}

// The attempt is over and the next one has not begun: there is no stream to be opened for anybody.
TEST_F(LaneTest, ATokenThatArrivesAfterTheStopOpensNothing) {
  tokens_by_hand_ = true;
  make_rows(1);
  bool stopped = false;
  lane_->stop([&] { stopped = true; });
  run();
  EXPECT_TRUE(stopped);
  token_requests_.at(0)(std::string("late"));
  run();
  EXPECT_TRUE(streams_.empty());
  lane_.reset();
  token_requests_[0](std::string("later still"));
  run();
}

// Others wait for the stream of a lane that has something to send.
class CalledBack : public LaneTest {
 protected:
  CalledBack() { destination_->turns = std::make_shared<StreamTurns>(1, Millis(0)); }
  void call_back() {
    other_ = destination_->turns->ask({[granted = granted_] { *granted = true; }, [] {}},
                                      std::chrono::steady_clock::now());
    run();
  }
  // Of the other.
  void end_turn() {
    destination_->turns->give_back(other_, std::chrono::steady_clock::now());
    run();
  }
  const std::shared_ptr<bool> granted_ = std::make_shared<bool>(false);
  StreamTurns::Ticket other_ = 0;
};

TEST_F(CalledBack, WhatLingersGoesFirst) {
  destination_->batch.max_delay = Millis(3'600'000);
  make_rows(1);
  streams_[0]->created();
  run();
  ASSERT_TRUE(streams_[0]->writes.empty());
  call_back();
  ASSERT_EQ(streams_[0]->writes.size(), 1u);
  EXPECT_FALSE(streams_[0]->half_closed);
  streams_[0]->written();
  streams_[0]->ack(0);
  run();
  EXPECT_TRUE(streams_[0]->half_closed);
  streams_[0]->close(0);
  run();
  EXPECT_TRUE(*granted_);
  EXPECT_EQ(cursor(), 1u);
}

// The quarantine is full: for days, perhaps.
TEST_F(CalledBack, OneWhoseReadsAreHeldGoesAndAsksForNoOtherBeforeItCanRead) {
  spool_.held = {1};
  make_rows(2);
  streams_[0]->created();
  run();
  EXPECT_FALSE(streams_[0]->half_closed);
  call_back();
  EXPECT_TRUE(streams_[0]->half_closed);
  streams_[0]->close(0);
  run();
  EXPECT_TRUE(*granted_);
  spool_.preload({"r", "a.b.c"}, {body_of(row_of(3))});
  lane_->committed(3);
  run();
  EXPECT_EQ(destination_->turns->waiting(), 0u) << "a stream in vain";
  EXPECT_EQ(spool_.waiting(), 1u) << "it would never hear of it";
  spool_.release();
  run();
  EXPECT_EQ(destination_->turns->waiting(), 1u);
  end_turn();
  ASSERT_EQ(streams_.size(), 2u);
  streams_[1]->created();
  run();
  EXPECT_EQ(serve(*streams_[1]), (std::vector<std::string>{row_of(1), row_of(2), row_of(3)}));
  EXPECT_EQ(cursor(), 3u);
}

TEST_F(CalledBack, OneThatCannotReadGoesAndComesBackWhenItCan) {
  spool_.read_error = Error{ErrorKind::kTransient, "input/output error", {}};
  make_rows(1);
  streams_[0]->created();
  run();
  call_back();
  EXPECT_TRUE(streams_[0]->half_closed);
  streams_[0]->close(0);
  run();
  EXPECT_TRUE(*granted_);
  EXPECT_EQ(destination_->turns->waiting(), 0u);
  spool_.read_error.reset();
  for (int tries = 0; tries < 500 && destination_->turns->waiting() == 0; ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  end_turn();
  ASSERT_EQ(streams_.size(), 2u);
  streams_[1]->created();
  run();
  EXPECT_EQ(serve(*streams_[1]), std::vector<std::string>{row_of(1)});
}

// Else a slow disk and many tables would mean that none gets what it has read onto a stream.
TEST_F(CalledBack, ASlowReadIsWaitedFor) {
  spool_.slow = true;
  make_rows(1);
  streams_[0]->created();
  run();
  call_back();
  EXPECT_FALSE(streams_[0]->half_closed);
  spool_.release();
  run();
  EXPECT_EQ(serve(*streams_[0]), std::vector<std::string>{row_of(1)});
  EXPECT_TRUE(streams_[0]->half_closed);
  EXPECT_EQ(cursor(), 1u);
}

// It was under way when the quarantine became full.
TEST_F(CalledBack, AReadThatIsHeldLaterIsNoticed) {
  spool_.slow = true;
  make_rows(1);
  streams_[0]->created();
  run();
  call_back();
  EXPECT_FALSE(streams_[0]->half_closed);
  spool_.held = {1};
  for (int tries = 0; tries < 500 && !streams_[0]->half_closed; ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  EXPECT_TRUE(streams_[0]->half_closed);
}

// What waits for the workspace's description of the table can do so without a stream.
TEST_F(CalledBack, OneThatAsksForItsTableGoesAndAsksAnew) {
  std::vector<std::function<void(Result<TableRows>)>> asked;
  auto strict = [](const char* column) {
    codec::TableSchema table;
    table.columns.push_back({column, {}, true, 0});
    table.columns[0].type.kind = codec::TypeKind::kInt;
    auto made = codec::RowEncoder::make({}, table, codec::RowForm::kProto);
    EXPECT_TRUE(made);
    return *std::move(made);
  };
  const auto source = [&](bool fresh, const auto& done) {
    if (!fresh) return done(TableRows{strict("old")});
    asked.push_back(done);
  };
  spool_.preload({"r", "a.b.c"}, {body_of(row_of(7))});
  auto unused = codec::RowEncoder::make({});
  lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(unused), destination_,
                                 Log::none(), source);
  lane_->start();
  run();
  streams_[0]->created();
  run();
  ASSERT_EQ(asked.size(), 1u) << "the record does not fit";
  call_back();
  EXPECT_TRUE(streams_[0]->half_closed);
  streams_[0]->close(0);
  run();
  EXPECT_TRUE(*granted_);
  EXPECT_EQ(destination_->turns->waiting(), 1u);
  end_turn();
  ASSERT_EQ(asked.size(), 2u);
  asked[1](TableRows{strict("n")});
  run();
  ASSERT_EQ(streams_.size(), 2u);
  streams_[1]->created();
  run();
  EXPECT_EQ(serve(*streams_[1]), (std::vector<std::string>{"\x08\x07"}));
}

TEST_F(LaneTest, StopTakesLateAcknowledgementsAndThenEnds) {
  make_rows(2);
  streams_[0]->created();
  run();
  streams_[0]->written();
  run();
  bool stopped = false;
  lane_->stop([&] { stopped = true; });
  run();
  EXPECT_TRUE(streams_[0]->half_closed);
  EXPECT_FALSE(stopped);
  streams_[0]->ack(0);
  streams_[0]->close(0);
  run();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(cursor(), 2u);
}

class RefusedRecords : public LaneTest,
                       public testing::WithParamInterface<std::tuple<std::set<int>, uint32_t>> {};

TEST_P(RefusedRecords, GoToQuarantineAloneAndAllOthersArriveInOrder) {
  const auto& [bad, max_rows] = GetParam();
  destination_->batch.max_rows = max_rows;
  destination_->session.search_opens_per_min = 10'000;
  make_rows(20);
  std::vector<std::string> good;
  for (int n = 1; n <= 20; ++n) {
    if (!bad.contains(n)) good.push_back(row_of(n));
  }
  EXPECT_EQ(serve_refusing(bad), good);
  EXPECT_EQ(cursor(), 20u);
  std::map<spool::Seq, std::string> kept;
  for (const int n : bad) {
    kept[static_cast<spool::Seq>(n)] =
        "refused by the service: INVALID_ARGUMENT: column n: not in the table";
  }
  EXPECT_EQ(spool_.quarantined(1), kept);
  EXPECT_EQ(lane_->counters().poison_records, bad.size());
}

INSTANTIATE_TEST_SUITE_P(
    Anywhere, RefusedRecords,
    testing::Combine(testing::Values(std::set<int>{1}, std::set<int>{20}, std::set<int>{11},
                                     std::set<int>{8, 9}, std::set<int>{9, 10},
                                     std::set<int>{1, 20}, std::set<int>{2, 7},
                                     std::set<int>{1, 2, 3}, std::set<int>{4, 5, 12, 20}),
                     testing::Values(1u, 3u, 8u, 100u)));

TEST_F(LaneTest, ASearchCountsTheStreamsThatOtherRoutesHaveOpenedToTheTable) {
  destination_->session.search_opens_per_min = 3;
  for (int i = 0; i < 3; ++i)
    destination_->open_rate("a.b.c")->opened(std::chrono::steady_clock::now());
  make_rows(4);
  streams_.at(0)->created();
  run();
  streams_[0]->written();
  streams_[0]->close(3, "column n: not in the table");
  run();
  EXPECT_EQ(streams_.size(), 1u) << "not another one within the minute";
  EXPECT_NE(lane_->snapshot().text.find("looking for the refused record"), std::string::npos)
      << lane_->snapshot().text;
}

TEST_F(LaneTest, ARefusedRecordAmongOnesThatCannotBeEncodedIsFoundToo) {
  destination_->batch.max_rows = 100;
  make({row_of(1), "bad", "bad", row_of(4), row_of(5), "bad", row_of(7), "bad"});
  EXPECT_EQ(serve_refusing({5}), (std::vector<std::string>{row_of(1), row_of(4), row_of(7)}));
  EXPECT_EQ(spool_.quarantined(1).size(), 5u);
  EXPECT_EQ(lane_->counters().refused_records, 4u) << "read again, but counted once";
  EXPECT_EQ(cursor(), 8u);
}

TEST_F(LaneTest, WhenTheServiceRefusesEverythingTheLaneIsHeldAndTriesAgain) {
  destination_->batch.max_rows = 100;
  destination_->session.poison_limit = 3;
  destination_->session.retry.held = Millis(100);
  make_rows(10);
  EXPECT_TRUE(serve_refusing({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}).empty());
  EXPECT_EQ(lane_->snapshot().state, zerobus::SessionState::kHeld);
  EXPECT_NE(lane_->snapshot().text.find("schema"), std::string::npos) << lane_->snapshot().text;
  EXPECT_EQ(spool_.quarantined(1).size(), 3u);
  EXPECT_EQ(cursor(), 3u);
  const auto later = next_stream(streams_.size());  // the table was corrected meanwhile
  later->created();
  run();
  EXPECT_EQ(serve(*later).size(), 7u);
  EXPECT_EQ(cursor(), 10u);
  EXPECT_EQ(spool_.quarantined(1).size(), 3u);
}

// Whatever the server does, every record arrives, in order within a stream, and the cursor never
// runs ahead of what the server said it has.
TEST_F(LaneTest, RandomServersGetEveryRecordAndTheCursorNeverRunsAhead) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr int kRecords = 60;
  make_rows(kRecords);
  std::set<int> durable;
  size_t served = 0;
  for (int round = 0; round < 2000 && cursor() < kRecords; ++round) {
    const auto stream = next_stream(served);
    served = streams_.size();
    stream->created();
    run();
    int64_t acked = -1;
    for (size_t i = 0; i < stream->writes.size(); ++i) {
      stream->written();
      run();
      if (random() % 3 == 0) {
        for (auto k = static_cast<size_t>(acked + 1); k <= i; ++k) {
          for (const auto& row : FakeStream::rows(stream->writes[k].second))
            durable.insert(std::stoi(row.substr(5)));
        }
        stream->ack(acked = static_cast<int64_t>(i));
        run();
      }
      for (spool::Seq seq = 1; seq <= cursor(); ++seq)
        ASSERT_TRUE(durable.contains(static_cast<int>(seq)));
      if (random() % 10 == 0) break;
    }
    if (cursor() < kRecords) stream->close(14, "cut");
  }
  EXPECT_EQ(cursor(), static_cast<spool::Seq>(kRecords));
  EXPECT_EQ(durable.size(), static_cast<size_t>(kRecords));
}

}  // namespace
}  // namespace penstock::lane
