// Goal: a record that does not fit the table as it is known is tried again when the table has been
// asked for anew, and none is set aside for what is known of the table being old. Method: the lane
// over a spool and a transport in memory, and a table that the test alters.
#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

std::string row(const std::string& fields) { return "{" + fields + "}"; }

class LaneTable : public LaneTest {
 protected:
  using Answer = std::function<void(Result<TableRows>)>;

  LaneTable() { encoding_.unknown_fields = codec::UnknownFields::kReject; }

  // An encoder for a table with these columns, all BIGINT.
  Result<codec::RowEncoder> encoder() const {
    codec::TableSchema table;
    for (const char name : columns_) {
      table.columns.push_back({std::string(1, name), {}, true, position_of(name)});
      table.columns.back().type.kind = codec::TypeKind::kBigint;
    }
    return codec::RowEncoder::make(encoding_, table, form_);
  }
  static uint32_t position_of(char name) { return name == 'n' ? 0 : name == 'v' ? 1 : 2; }
  Result<TableRows> described() const {
    if (encoder_error_) return *encoder_error_;
    auto made = encoder();
    if (!made) return std::move(made).error();
    return TableRows{*std::move(made), workspace_up_, workspace_up_ ? "" : "HTTP 403, grant it"};
  }
  EncoderSource source() {
    return [this](bool fresh, Answer done) {
      asked_.push_back(fresh);
      if (by_hand_) return answers_.push_back(std::move(done));
      done(described());
    };
  }
  void make_lane(const std::vector<std::string>& payloads) { lane_ = lane_of("r", payloads); }
  std::shared_ptr<Lane> lane_of(const std::string& route, const std::vector<std::string>& payloads,
                                spool::Seq cursor = 0) {
    std::vector<std::string> bodies;
    for (const auto& payload : payloads) bodies.push_back(body_of(payload));
    const spool::LaneKey key{route, "a.b.c"};
    spool_.preload(key, std::move(bodies), cursor);
    auto unused = codec::RowEncoder::make(encoding_);
    EXPECT_TRUE(unused);
    auto lane =
        std::make_shared<Lane>(io_, spool_, spool_.state(spool_.lane(key)), *std::move(unused),
                               destination_, Log::to_stderr(LogLevel::kInfo), source());
    lane->start();
    run();
    return lane;
  }
  // A stream that takes what comes until the lane is held or has no more; the rows.
  std::vector<std::string> serve_one(size_t known) {
    auto& stream = open(known);
    auto rows = serve(stream);
    if (stream.half_closed) stream.close(0);
    run();
    return rows;
  }
  // The workspace goes away under an open stream, and a record comes that does not fit.
  void hold_for_the_workspace() {
    testing::internal::CaptureStderr();
    make_lane({row("\"n\":1"), row("\"n\":2,\"v\":5"), row("\"n\":3")});
    workspace_up_ = false;
    for (size_t known = 0; known < 3; ++known) {
      EXPECT_EQ(serve_one(known).size(), known == 0 ? 1u : 0u);
      EXPECT_TRUE(asked_.back()) << "not tried to ask again";
    }
    const auto said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("held: record 2 does not fit"), std::string::npos) << said;
    EXPECT_NE(said.find("(workspace_url)"), std::string::npos) << said;
    EXPECT_NE(said.find("HTTP 403, grant it"), std::string::npos) << said;
    EXPECT_EQ(cursor(), 1u) << "what was before it did not wait";
    EXPECT_TRUE(spool_.quarantined(1).empty()) << "judged by what was known before";
  }
  FakeStream& open(size_t known) {
    const auto stream = next_stream(known);
    stream->created();
    run();
    return *stream;
  }

  std::string said_over_a_rotation() {
    testing::internal::CaptureStderr();
    make_lane({row("\"n\":1"), row("\"n\":2"), row("\"n\":3")});
    for (size_t known = 0; known < 2; ++known) {  // each is rotated after its first request
      auto& stream = open(known);
      stream.written();
      stream.respond(zerobus::CloseSignal{Millis(10'000)});
      stream.ack(0);
      run();
      stream.close(0);
      run();
    }
    return testing::internal::GetCapturedStderr();
  }

  std::string columns_ = "n";
  codec::RowForm form_ = codec::RowForm::kProto;
  std::optional<Error> encoder_error_;
  bool workspace_up_ = true;
  bool by_hand_ = false;  // the test calls answers_
  std::vector<bool> asked_;
  std::vector<Answer> answers_;
};

TEST_F(LaneTable, ARecordForAColumnThatWasAddedIsDeliveredOnANewStream) {
  make_lane({row("\"n\":1"), row("\"n\":2,\"v\":5"), row("\"n\":3")});
  columns_ = "nv";  // ALTER TABLE, after the stream was opened
  auto& first = open(0);
  ASSERT_EQ(first.writes.size(), 1u) << "what is before it does not wait";
  EXPECT_EQ(asked_, (std::vector<bool>{false, true}));
  EXPECT_FALSE(first.half_closed);
  first.written();
  first.ack(0);
  run();
  EXPECT_TRUE(first.half_closed) << "rows of another form need another stream";
  first.close(0);
  auto& second = open(1);
  EXPECT_NE(second.open.descriptor, first.open.descriptor);
  EXPECT_EQ(serve(second).size(), 2u);
  EXPECT_EQ(cursor(), 3u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
}

// One fate: what was set aside ahead of the cursor is not sent as well once its columns are right,
// whether the lane has only lost its stream or a restart has read the fates from the spool.
class LaneDecided : public LaneTable, public testing::WithParamInterface<bool> {
 protected:
  // Records in flight, with others among them that do not fit: all that is acknowledged is the
  // first request.
  void lose_the_stream_behind_what_was_set_aside() {
    form_ = codec::RowForm::kJson;
    make_lane({row("\"n\":1"), row("\"n\":2"), row("\"n\":3"), row("\"n\":4,\"v\":5"),
               row("\"n\":5"), row("\"n\":6,\"v\":5"), row("\"n\":7,\"v\":5")});
    auto& stream = open(0);
    stream.written();
    stream.ack(0);
    run();
    EXPECT_EQ(spool_.quarantined(1).size(), 3u);
    EXPECT_EQ(cursor(), 2u);
    columns_ = "nv";
    if (GetParam()) return restart();
    stream.close(14, "connection reset");
    run();
  }
  void restart() {
    lane_.reset();
    lane_ = lane_of("r", {}, cursor());
  }
};
INSTANTIATE_TEST_SUITE_P(WithAndWithoutARestart, LaneDecided, testing::Bool());

TEST_P(LaneDecided, RecordsAreNotSentAsWellOnceTheirColumnsAreThere) {
  lose_the_stream_behind_what_was_set_aside();
  EXPECT_EQ(serve(open(1)),
            (std::vector<std::string>{row("\"n\":3,\"v\":null"), row("\"n\":5,\"v\":null")}));
  EXPECT_EQ(cursor(), 7u);
  EXPECT_EQ(spool_.quarantined(1).size(), 3u);
}

TEST_F(LaneTable, JsonRowsWithANewColumnGoOnOnTheSameStream) {
  form_ = codec::RowForm::kJson;
  make_lane({row("\"n\":1"), row("\"n\":2,\"v\":5"), row("\"n\":3")});
  columns_ = "nv";
  auto& stream = open(0);
  EXPECT_EQ(serve(stream), (std::vector<std::string>{row("\"n\":1"), row("\"n\":2,\"v\":5"),
                                                     row("\"n\":3,\"v\":null")}));
  EXPECT_EQ(streams_.size(), 1u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
}

TEST_F(LaneTable, ASecondColumnIsSeenAsSoonAsTheFirst) {
  form_ = codec::RowForm::kJson;
  make_lane({row("\"n\":1"), row("\"n\":2,\"v\":5"), row("\"n\":3,\"w\":1")});
  by_hand_ = true;
  auto& stream = open(0);
  ASSERT_EQ(answers_.size(), 1u);
  columns_ = "nv";
  answers_[0](described());
  run();
  ASSERT_EQ(answers_.size(), 2u) << "the minute is for tables that did not change";
  columns_ = "nvw";
  answers_[1](described());
  run();
  EXPECT_EQ(serve(stream).size(), 3u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
}

TEST_F(LaneTable, WhatStillDoesNotFitIsSetAsideAndTheTableIsNotAskedForEachOfThem) {
  make_lane({row("\"n\":1"), row("\"x\":2"), row("\"n\":3"), row("\"x\":4"), row("\"n\":5")});
  auto& stream = open(0);
  EXPECT_EQ(serve(stream).size(), 3u);
  EXPECT_EQ(cursor(), 5u);
  EXPECT_EQ(spool_.quarantined(1).size(), 2u);
  EXPECT_EQ(asked_, (std::vector<bool>{false, true})) << "one question a minute";
  EXPECT_EQ(streams_.size(), 1u);
}

TEST_F(LaneTable, WhileTheWorkspaceIsAwayARecordWaitsAndIsDeliveredOnceItsColumnIsKnown) {
  hold_for_the_workspace();
  const auto other = lane_of("r2", {row("\"n\":7")});
  EXPECT_EQ(serve_one(3).size(), 1u) << "another lane is none the wiser";
  EXPECT_EQ(other->cursor(), 1u);
  workspace_up_ = true;
  columns_ = "nv";
  EXPECT_EQ(serve_one(4).size(), 2u);
  EXPECT_EQ(cursor(), 3u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
}

TEST_F(LaneTable, WhatDoesNotFitOnceTheWorkspaceIsBackIsSetAsideAndTheOthersGoOn) {
  hold_for_the_workspace();
  workspace_up_ = true;
  EXPECT_EQ(serve_one(3).size(), 1u);
  EXPECT_EQ(cursor(), 3u);
  const auto aside = spool_.quarantined(1);
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_TRUE(aside.contains(2));
  EXPECT_EQ(aside.at(2).find("known last"), std::string::npos) << aside.at(2);
}

// The workspace alone may be away for days, and a bad record must not block its table for so long.
TEST_F(LaneTable, APatienceThatIsOverIsOverForAllUntilTheWorkspaceAnswers) {
  destination_->table_patience = Millis(1);
  make_lane({row("\"n\":1"), row("\"x\":2"), row("\"n\":3"), row("\"x\":4"), row("\"n\":5")});
  workspace_up_ = false;
  EXPECT_EQ(serve_one(0).size(), 1u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
  EXPECT_EQ(serve_one(1).size(), 2u);
  EXPECT_EQ(streams_.size(), 2u) << "the second one does not wait again";
  EXPECT_EQ(cursor(), 5u);
  const auto aside = spool_.quarantined(1);
  ASSERT_EQ(aside.size(), 2u);
  EXPECT_NE(aside.at(4).find("known last"), std::string::npos) << aside.at(4);
}

TEST_F(LaneTable, AnAnswerBeginsThePatienceAnew) {
  destination_->table_patience = Millis(1);
  make_lane({row("\"x\":1")});
  const auto commit = [&](spool::Seq seq, const std::string& payload) {
    spool_.preload({"r", "a.b.c"}, {body_of(payload)}, seq - 1);
    lane_->committed(seq);
    run();
  };
  workspace_up_ = false;
  for (size_t known = 0; known < 2; ++known) serve_one(known);
  ASSERT_EQ(spool_.quarantined(1).size(), 1u) << "the patience is over";
  workspace_up_ = true;
  streams_.back()->close(14, "gone");
  run();
  commit(2, row("\"n\":2"));
  EXPECT_EQ(serve_one(2).size(), 1u);
  workspace_up_ = false;
  streams_.back()->close(3, "no such column");  // what was answered may be out of date
  run();
  commit(3, row("\"x\":3"));
  serve_one(3);
  EXPECT_TRUE(streams_[3]->half_closed) << "it does not wait";
  EXPECT_EQ(spool_.quarantined(1).size(), 1u) << "set aside in a new outage at once";
}

// The route's columns need one that the table has not got, or not yet.
TEST_F(LaneTable, AfterATableThatGaveNoRowsTheNextStreamLooksAgain) {
  destination_->session.retry.held = Millis(10);
  encoder_error_ = Error{ErrorKind::kRejected, "the table has no column w", {}};
  make_lane({row("\"n\":1")});
  ASSERT_FALSE(asked_.empty());
  const size_t refused = asked_.size();
  encoder_error_.reset();
  EXPECT_EQ(serve_one(0).size(), 1u);
  ASSERT_GT(asked_.size(), refused);
  EXPECT_TRUE(asked_[refused]) << "what is in memory gave no rows";
  EXPECT_FALSE(asked_[0]);
}

// No table would take it.
TEST_F(LaneTable, APayloadThatCannotBeReadIsNoQuestionToTheTable) {
  make_lane({row("\"n\":1"), "not json", row("\"n\":3")});
  workspace_up_ = false;
  EXPECT_EQ(serve_one(0).size(), 2u);
  EXPECT_EQ(asked_, std::vector<bool>{false});
  EXPECT_EQ(cursor(), 3u);
  EXPECT_EQ(spool_.quarantined(1).size(), 1u);
}

TEST_F(LaneTable, AStreamThatEndsWhileTheTableIsAskedForLosesNothing) {
  make_lane({row("\"n\":1"), row("\"n\":2,\"v\":5"), row("\"n\":3")});
  by_hand_ = true;
  auto& first = open(0);
  ASSERT_EQ(answers_.size(), 1u);
  first.close(14, "gone");
  for (int tries = 0; tries < 500 && answers_.size() < 2; ++tries) {
    io_.restart();
    io_.run_one_for(Millis(20));
  }
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_TRUE(asked_.back()) << "still not answered";
  columns_ = "nv";
  answers_[1](described());
  auto& second = open(1);
  columns_ = "n";
  answers_[0](described());  // late, of the stream before
  run();
  EXPECT_EQ(serve(second).size(), 3u);
  EXPECT_EQ(streams_.size(), 2u);
  EXPECT_TRUE(spool_.quarantined(1).empty());
}

class LaneTableRefusal : public LaneTable, public testing::WithParamInterface<int> {};

TEST_P(LaneTableRefusal, EachRefusalOfTheServiceIsAReasonToAskForTheTable) {
  make_lane({row("\"n\":1")});
  auto& first = open(0);
  first.written();
  first.close(GetParam(), "no such column");
  open(1);
  EXPECT_EQ(asked_, (std::vector<bool>{false, true}));
}

TEST_P(LaneTableRefusal, NoRecordIsSetAsideBeforeTheTableHasAnswered) {
  make_lane({row("\"n\":1")});
  const auto refuse_one = [&](size_t known) {
    auto& stream = open(known);
    ASSERT_EQ(stream.writes.size(), 1u);
    stream.written();
    stream.close(GetParam(), "no such column");
    run();
  };
  workspace_up_ = false;
  refuse_one(0);
  for (size_t known = 1; known < 6; ++known) refuse_one(known);
  EXPECT_TRUE(spool_.quarantined(1).empty()) << "judged by what was known before";
  EXPECT_NE(lane_->snapshot().text.find("the workspace has not described the table"),
            std::string::npos)
      << lane_->snapshot().text;
  EXPECT_NE(lane_->snapshot().text.find("HTTP 403, grant it"), std::string::npos)
      << lane_->snapshot().text;
  workspace_up_ = true;
  for (size_t known = 6; known < 10 && spool_.quarantined(1).empty(); ++known) refuse_one(known);
  EXPECT_EQ(spool_.quarantined(1).size(), 1u);
  EXPECT_EQ(cursor(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Codes, LaneTableRefusal, testing::Values(3, 11));

TEST_F(LaneTable, StreamsThatReplaceOthersAreNamedForSupport) {
  destination_->name_streams_every = Millis(0);
  const auto said = said_over_a_rotation();
  EXPECT_NE(said.find("stream stream-1 is open"), std::string::npos) << said;
  EXPECT_NE(said.find("stream stream-2 is open"), std::string::npos) << said;
}

TEST_F(LaneTable, StreamsThatComeAndGoAreNamedOnceAMinute) {
  const auto said = said_over_a_rotation();
  EXPECT_NE(said.find("stream stream-1 is open"), std::string::npos) << said;
  EXPECT_EQ(said.find("stream stream-2 is open"), std::string::npos) << said;
  EXPECT_EQ(said.find("nothing to send"), std::string::npos) << "records wait:\n" << said;
}

// As a table with few records does all day.
TEST_F(LaneTable, OnlyTheStreamIsNamedWhenOneIsClosedForWantOfRecords) {
  destination_->name_streams_every = Millis(0);
  testing::internal::CaptureStderr();
  make_lane({row("\"n\":1")});
  auto& first = open(0);
  serve(first);
  first.close(0);
  run();
  EXPECT_EQ(lane_->snapshot().state, zerobus::SessionState::kIdle);
  spool_.preload({"r", "a.b.c"}, {body_of(row("\"n\":2"))}, 1);
  lane_->committed(2);
  run();
  serve(open(1));
  const auto quiet = testing::internal::GetCapturedStderr();
  EXPECT_EQ(quiet.find("idle"), std::string::npos) << quiet;
  const auto once = quiet.find("connecting");
  EXPECT_NE(once, std::string::npos) << quiet;
  EXPECT_EQ(quiet.find("connecting", once + 1), std::string::npos) << quiet;
  EXPECT_NE(quiet.find("stream-2 is open"), std::string::npos) << quiet;
}

TEST_F(LaneTable, EachTroubleWithTheSpoolIsSaidAgain) {
  form_ = codec::RowForm::kJson;
  spool_.records_per_segment = 1;
  destination_->batch.max_rows = 1;
  spool_.read_error = Error{ErrorKind::kTransient, "input/output error", {}};
  testing::internal::CaptureStderr();
  make_lane({row("\"n\":1"), row("\"n\":2"), row("\"n\":3")});
  auto& stream = open(0);
  const auto wait_for = [&](size_t writes) {
    for (int tries = 0; tries < 500 && stream.writes.size() < writes; ++tries) {
      io_.restart();
      io_.run_one_for(Millis(20));
    }
  };
  spool_.read_error.reset();
  wait_for(1);
  spool_.read_error = Error{ErrorKind::kTransient, "input/output error", {}};
  stream.written();
  run();
  stream.written();
  run();
  stream.ack(0);
  run();
  stream.written();
  run();
  const auto said = testing::internal::GetCapturedStderr();
  const std::string words = "cannot be read from the spool";
  const auto once = said.find(words);
  ASSERT_NE(once, std::string::npos) << said;
  EXPECT_NE(said.find(words, once + 1), std::string::npos) << said;
}

}  // namespace
}  // namespace penstock::lane
