// StreamSession as a script: one event in, the actions out, as text.
#include "tests/unit/zerobus_session_script.h"

namespace penstock::zerobus {
namespace {

using ZerobusSession = SessionScript;

// --- opening

TEST_F(ZerobusSession, NothingIsOpenedBeforeThereIsData) {
  EXPECT_EQ(start(), "idle");
  EXPECT_EQ(armed_, MonoTime::max());
  EXPECT_EQ(data(), "connecting, open 1");
  EXPECT_EQ(data(), "");
}

TEST_F(ZerobusSession, NoBatchIsAskedForBeforeTheStreamIsOpen) {
  start();
  data();
  EXPECT_EQ(batch(1, 1, 10), "");
  EXPECT_EQ(created(1), "streaming, want 1");
  EXPECT_EQ(batch(1, 1, 10), "write 1:0 [1-10], want 1");
}

TEST_F(ZerobusSession, AnOpenThatIsNeverAnsweredIsCancelledAndTriedAgainForEver) {
  start();
  data();
  EXPECT_EQ(pass(14'999), "");
  EXPECT_EQ(pass(1), "cancel 1, backoff");
  EXPECT_NE(text_.find("15 s"), std::string::npos);
  for (uint64_t generation = 2; generation < 2000; ++generation) {
    ASSERT_EQ(to_deadline(), fmt::format("open {}", generation));
    ASSERT_EQ(to_deadline(), fmt::format("cancel {}", generation));
  }
  EXPECT_EQ(to_deadline(), "open 2000");
  EXPECT_EQ(created(2000), "want 2000");
}

TEST_F(ZerobusSession, AnOpenThatTakesTooLongNamesWhatItWaitedFor) {
  start();
  data();
  session_->opening(1, OpenStep::kSchema);
  EXPECT_EQ(pass(15'000), "cancel 1, backoff");
  EXPECT_NE(text_.find("describe the table"), std::string::npos) << text_;
  EXPECT_EQ(to_deadline(), "open 2");
  session_->opening(2, OpenStep::kSchema);
  session_->opening(2, OpenStep::kToken);
  EXPECT_EQ(to_deadline(), "cancel 2, backoff") << "another step is news";
  EXPECT_NE(text_.find("no access token"), std::string::npos) << text_;
  EXPECT_EQ(to_deadline(), "open 3");
  session_->opening(2, OpenStep::kSchema);  // late, of another stream
  EXPECT_EQ(to_deadline(), "cancel 3, backoff");
  EXPECT_NE(text_.find("the service cannot be reached"), std::string::npos) << text_;
}

TEST_F(ZerobusSession, ConnectionTroubleBacksOffAndIsReportedOnce) {
  start();
  data();
  EXPECT_EQ(closed(1, code::kUnavailable, "connection refused"), "backoff");
  EXPECT_EQ(text_, "UNAVAILABLE: connection refused");
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(closed(2, code::kUnavailable, "connection refused"), "");
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(closed(3, code::kInternal), "backoff");  // another trouble is news
}

TEST_F(ZerobusSession, BackoffStartsAnewOnlyAfterAnAck) {
  random_ = 0.999;
  start();
  data();
  closed(1, code::kUnavailable);
  EXPECT_EQ(delay_ms(), 499);
  to_deadline();
  created(2);
  closed(2, code::kUnavailable);  // opened, but nothing was delivered
  EXPECT_EQ(delay_ms(), 999);
  to_deadline();
  created(3);
  send(3, 1);
  ack(3, 0);
  closed(3, code::kUnavailable);
  EXPECT_EQ(delay_ms(), 499);
}

TEST_F(ZerobusSession, AFirstMessageThatIsNotTheCreateResponseEndsTheStream) {
  start();
  data();
  EXPECT_EQ(run(session_->response(at(), 1, UnknownResponse{})), "");
  EXPECT_EQ(ack(1, 0), "cancel 1, backoff");
}

TEST_F(ZerobusSession, ASecondCreateResponseEndsTheStream) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(created(1), "cancel 1, rewind 1, backoff");
}

TEST_F(ZerobusSession, WithoutATokenItKeepsTheDataAndTriesAgain) {
  start();
  data();
  EXPECT_EQ(run(session_->open_failed(at(), 1, {ErrorKind::kTransient, "token: timeout", {}})),
            "backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(run(session_->open_failed(at(), 2, {ErrorKind::kDenied, "token: no such client", {}})),
            "held");
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(
      run(session_->open_failed(at(), 3, {ErrorKind::kThrottled, "token: 429", Millis(70'000)})),
      "throttled");
  EXPECT_GE(delay_ms(), 70'000);
}

TEST_F(ZerobusSession, RefusalsThatNeedAPersonAreHeldWithAdvice) {
  for (const int refusal : {code::kInvalidArgument, code::kOutOfRange, code::kNotFound,
                            code::kPermissionDenied, code::kUnimplemented}) {
    configure({});
    armed_ = MonoTime::max();
    start();
    data();
    const bool drop = refusal == code::kPermissionDenied;
    EXPECT_EQ(closed(1, refusal), drop ? "drop, held" : "held") << refusal;
    EXPECT_NE(text_.find("data is kept"), std::string::npos);
    EXPECT_EQ(delay_ms(), 300'000);
    EXPECT_EQ(data(), "");  // new data does not shorten it
    EXPECT_EQ(to_deadline(), "open 2");
    EXPECT_EQ(created(2), "want 2");
  }
}

TEST_F(ZerobusSession, ARefusedTokenIsReplacedAtOnceAndOnlyOnce) {
  start();
  data();
  EXPECT_EQ(closed(1, code::kUnauthenticated), "drop, open 2");
  EXPECT_EQ(closed(2, code::kUnauthenticated), "drop, held");
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(created(3), "want 3");
}

TEST_F(ZerobusSession, ATokenThatOnlyOpensStreamsIsNoBusyLoop) {
  open_stream();
  EXPECT_EQ(closed(1, code::kUnauthenticated), "rewind 1, drop, open 2");
  created(2);
  EXPECT_EQ(closed(2, code::kUnauthenticated), "rewind 1, drop, held");
}

TEST_F(ZerobusSession, ThrottlingWaitsLonger) {
  start();
  data();
  EXPECT_EQ(closed(1, code::kResourceExhausted), "throttled");
  EXPECT_GE(delay_ms(), 2'500);
  EXPECT_EQ(to_deadline(), "open 2");
}

// --- sending and acknowledgements

TEST_F(ZerobusSession, OffsetsCountFromZeroOnEveryStream) {
  open_stream();
  EXPECT_EQ(batch(1, 1, 10), "write 1:0 [1-10], want 1");
  EXPECT_EQ(batch(1, 11, 20), "write 1:1 [11-20], want 1");  // behind the one under way
  EXPECT_EQ(batch(1, 21, 30), "write 1:2 [21-30], want 1");
  EXPECT_EQ(batch(1, 31, 40), "write 1:3 [31-40], want 1");
  EXPECT_EQ(batch(1, 41, 50), "");  // three that wait are enough
  EXPECT_EQ(write_done(1), "write 1:4 [41-50], want 1");
  EXPECT_EQ(ack(1, 0), "release 10");
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 11, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(created(2), "want 2");
  EXPECT_EQ(batch(2, 11, 30), "write 2:0 [11-30], want 2");
}

TEST_F(ZerobusSession, WritesReportedTogetherMakeRoomForAsMany) {
  open_stream();
  for (uint64_t i = 0; i < 5; ++i) batch(1, 10 * i + 1, 10 * i + 10);
  EXPECT_EQ(writes_done(1, 3), "write 1:4 [41-50], want 1");
  EXPECT_EQ(batch(1, 51, 60), "write 1:5 [51-60], want 1");
  EXPECT_EQ(batch(1, 61, 70), "write 1:6 [61-70], want 1");
  EXPECT_EQ(batch(1, 71, 80), "") << "four are on their way again";
}

TEST_F(ZerobusSession, WritesThatWaitAreTakenBackWhenTheEndIsAnnounced) {
  open_stream();
  for (uint64_t i = 0; i < 3; ++i) batch(1, 10 * i + 1, 10 * i + 10);
  EXPECT_EQ(no_data(1), "");
  EXPECT_EQ(close_signal(1, 30'000), "back 1");
  EXPECT_EQ(session_->snapshot().unacked_batches, 3u);
  EXPECT_EQ(taken_back(1, 2), "");
  EXPECT_EQ(session_->snapshot().unacked_batches, 1u);
  EXPECT_EQ(write_done(1), "");
  EXPECT_EQ(ack(1, 0), "release 10, half 1") << "all that was sent: the pause ends early";
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, open 2");
}

TEST_F(ZerobusSession, AStopSendsNothingThatWaits) {
  open_stream();
  for (uint64_t i = 0; i < 3; ++i) batch(1, 10 * i + 1, 10 * i + 10);
  EXPECT_EQ(stop(), "draining, back 1, half 1");
  EXPECT_EQ(taken_back(1, 2), "");
  EXPECT_EQ(ack(1, 0), "release 10");
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, stopped, end");
}

TEST_F(ZerobusSession, OfAnOlderStreamNothingIsTakenBack) {
  open_stream();
  send(1, 2);
  closed(1, code::kUnavailable);
  to_deadline();
  created(2);
  batch(2, 1, 10);
  EXPECT_EQ(taken_back(1, 1), "");
  EXPECT_EQ(session_->snapshot().unacked_batches, 1u);
}

TEST_F(ZerobusSession, AnAckReleasesAllBeforeItAndARepeatedOneNothing) {
  open_stream();
  send(1, 4);
  EXPECT_EQ(ack(1, 2), "release 30");
  EXPECT_EQ(ack(1, 2), "");
  EXPECT_EQ(ack(1, 3), "release 40");
}

TEST_F(ZerobusSession, AckZeroReleasesTheFirstBatch) {
  open_stream();
  batch(1, 1, 10);
  EXPECT_EQ(ack(1, 0), "release 10");  // also before the write is reported as done
  EXPECT_EQ(batch(1, 11, 20), "write 1:1 [11-20], want 1");
}

TEST_F(ZerobusSession, AnAckThatGoesBackReleasesNothingAndEndsTheStream) {
  open_stream();
  send(1, 3);
  ack(1, 1);
  EXPECT_EQ(ack(1, 0), "cancel 1, rewind 21, backoff");
}

TEST_F(ZerobusSession, AnAckBeyondWhatWasSentReleasesNothingAndEndsTheStream) {
  open_stream();
  send(1, 3);
  EXPECT_EQ(ack(1, 3), "cancel 1, rewind 1, backoff");
}

TEST_F(ZerobusSession, AnUnreadableMessageEndsTheStream) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(run(session_->bad_response(at(), 1, {ErrorKind::kTransient, "no ack field", {}})),
            "cancel 1, rewind 1, backoff");
}

TEST_F(ZerobusSession, NoEventOfAnOlderStreamHasAnyEffect) {
  open_stream();
  send(1, 3);
  closed(1, code::kUnavailable);
  to_deadline();
  EXPECT_EQ(ack(1, 2), "");  // while 2 is being opened
  created(2);
  send(2, 1);
  EXPECT_EQ(ack(1, 0), "");
  EXPECT_EQ(ack(1, 2), "");
  EXPECT_EQ(close_signal(1, 0), "");
  EXPECT_EQ(write_done(1), "");
  EXPECT_EQ(batch(1, 31, 40), "");
  EXPECT_EQ(no_data(1), "");
  EXPECT_EQ(created(1), "");
  EXPECT_EQ(closed(1, code::kInvalidArgument), "");
  EXPECT_EQ(run(session_->bad_response(at(), 1, {})), "");
  EXPECT_EQ(run(session_->open_failed(at(), 1, {})), "");
  EXPECT_EQ(ack(2, 0), "release 10, streaming");
}

TEST_F(ZerobusSession, InFlightBytesAreBounded) {
  SessionConfig config;
  config.in_flight_bytes = 10'000;
  config.batch_bytes = 4'000;
  configure(config);
  open_stream();
  EXPECT_EQ(max_bytes_, 4'000u);
  EXPECT_EQ(batch(1, 1, 10, 4'000), "write 1:0 [1-10], want 1");
  write_done(1);
  EXPECT_EQ(batch(1, 11, 20, 4'000), "write 1:1 [11-20]");  // no room for another: not asked
  EXPECT_EQ(write_done(1), "");
  EXPECT_EQ(session_->snapshot().unacked_bytes, 8'000u);
  EXPECT_EQ(ack(1, 0), "release 10, want 1");
}

TEST_F(ZerobusSession, ABatchLargerThanTheBoundGoesAlone) {
  SessionConfig config;
  config.in_flight_bytes = 10'000;
  config.batch_bytes = 4'000;
  configure(config);
  open_stream();
  batch(1, 1, 10, 4'000);
  EXPECT_EQ(write_done(1), "");
  EXPECT_EQ(batch(1, 11, 11, 50'000), "");  // has to wait
  EXPECT_EQ(ack(1, 0), "release 10, write 1:1 [11-11]");
  EXPECT_EQ(write_done(1), "");
  EXPECT_EQ(ack(1, 1), "release 11, want 1");
}

TEST_F(ZerobusSession, DataThatComesWhileTheDriverSaysNoIsNotForgotten) {
  open_stream();
  EXPECT_EQ(data(), "");
  EXPECT_EQ(no_data(1), "want 1");
  EXPECT_EQ(no_data(1), "");
  EXPECT_EQ(data(), "want 1");
}

// --- watchdog and idle close

TEST_F(ZerobusSession, SilenceWhileSomethingIsUnackedEndsTheStream) {
  open_stream();
  EXPECT_EQ(pass(59'000), "");  // nothing sent: no watchdog
  send(1, 2);
  EXPECT_EQ(pass(59'000), "");
  EXPECT_EQ(ack(1, 0), "release 10");
  EXPECT_EQ(pass(59'999), "");
  EXPECT_EQ(run(session_->response(at(), 1, UnknownResponse{})), "");  // any message counts
  EXPECT_EQ(pass(59'999), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 11, backoff");
}

// It may be sick in a way that only another connection gets around.
TEST_F(ZerobusSession, AServerThatTalksButAcknowledgesNothingNewIsLeftAfterFiveMinutes) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(ack(1, 0), "release 10");
  const auto talk = [&](int times, int64_t acked) {
    Script script;
    for (int i = 0; i < times && script.empty(); ++i) {
      script = pass(10'000);
      if (script.empty())
        script = ack(1, acked) + run(session_->response(at(), 1, UnknownResponse{}));
    }
    return script;
  };
  EXPECT_EQ(talk(29, 0), "");
  EXPECT_EQ(ack(1, 1), "release 20") << "progress: the five minutes begin again";
  EXPECT_EQ(talk(100, 1), "") << "nothing is owed";
  batch(1, 21, 30);
  EXPECT_EQ(talk(29, 1), "");
  EXPECT_EQ(talk(2, 1), "cancel 1, rewind 21, backoff");
  EXPECT_NE(text_.find("acknowledged nothing new for 300 s"), std::string::npos) << text_;
}

// A server that takes every stream and no data: one trouble, said once.
TEST_F(ZerobusSession, AStreamThatOpensEndsATroubleOnlyWithAnAcknowledgement) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(closed(1, code::kInternal, "no"), "rewind 1, backoff");
  for (uint64_t generation = 2; generation < 10; ++generation) {
    EXPECT_EQ(to_deadline(), fmt::format("open {}", generation));
    EXPECT_EQ(created(generation), fmt::format("want {}", generation));
    EXPECT_EQ(session_->snapshot().state, SessionState::kBackoff);
    send(generation, 1);
    EXPECT_EQ(closed(generation, code::kInternal, "no"), "rewind 1") << "no news";
  }
  to_deadline();
  created(10);
  send(10, 1);
  EXPECT_EQ(closed(10, code::kResourceExhausted, "no"), "rewind 1, throttled") << "another cause";
  to_deadline();
  created(11);
  send(11, 1);
  EXPECT_EQ(ack(11, 0), "release 10, streaming");
  EXPECT_EQ(session_->snapshot().state, SessionState::kStreaming);
  send(11, 1, 11);
  EXPECT_EQ(closed(11, code::kInternal, "no"), "rewind 11, backoff") << "a new trouble";
}

TEST_F(ZerobusSession, AStreamWithNothingLeftToSendEndsATroubleToo) {
  open_stream();
  EXPECT_EQ(closed(1, code::kInternal, "no"), "rewind 1, backoff");
  to_deadline();
  EXPECT_EQ(created(2), "want 2");
  EXPECT_EQ(no_data(2), "streaming");
}

TEST_F(ZerobusSession, AfterATimeoutBatchesAreSmaller) {
  open_stream();
  const size_t before = max_bytes_;
  send(1, 1);
  EXPECT_EQ(to_deadline(), "cancel 1, rewind 1, backoff");
  to_deadline();
  created(2);
  EXPECT_EQ(max_bytes_, before / 2);
}

TEST_F(ZerobusSession, AnIdleStreamIsClosedAndOpenedAgainForData) {
  open_stream();
  send(1, 1);
  ack(1, 0);
  EXPECT_EQ(no_data(1), "");
  EXPECT_EQ(to_deadline(), "half 1");
  EXPECT_EQ(elapsed_ms(), 120'000);
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, idle");
  EXPECT_EQ(data(), "connecting, open 2");
}

TEST_F(ZerobusSession, AnIdleStreamThatTheServerDoesNotEndIsCancelled) {
  open_stream();
  no_data(1);
  EXPECT_EQ(to_deadline(), "half 1");
  EXPECT_EQ(pass(499), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 1, idle");
}

TEST_F(ZerobusSession, DataDuringAnIdleCloseGoesOutAtOnceAfterwards) {
  open_stream();
  no_data(1);
  EXPECT_EQ(to_deadline(), "half 1");
  EXPECT_EQ(data(), "");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1, open 2");
}

TEST_F(ZerobusSession, AnIdleStreamThatBreaksIsNotReopenedWithoutData) {
  open_stream();
  no_data(1);
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 1, idle");
  EXPECT_EQ(data(), "connecting, open 2");
}

// --- close signal

TEST_F(ZerobusSession, CloseSignalPausesWritingUntilTheGraceIsOver) {
  open_stream();
  send(1, 3);
  ack(1, 1);
  EXPECT_EQ(close_signal(1, 1'000), "");
  EXPECT_EQ(batch(1, 31, 40), "");  // prepared, not written
  EXPECT_EQ(pass(999), "");
  EXPECT_EQ(pass(1), "half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 21, open 2");
  EXPECT_EQ(created(2), "want 2");  // a rotation is no change of state
}

TEST_F(ZerobusSession, CloseSignalEndsEarlyWhenEverythingIsAcked) {
  open_stream();
  send(1, 3);
  close_signal(1, 30'000);
  EXPECT_EQ(ack(1, 1), "release 20");
  EXPECT_EQ(ack(1, 2), "release 30, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 31, open 2");
}

TEST_F(ZerobusSession, CloseSignalWithNothingUnackedOrNoGraceClosesAtOnce) {
  open_stream();
  EXPECT_EQ(close_signal(1, 30'000), "half 1");
  configure({});
  open_stream();
  send(1, 1);
  EXPECT_EQ(close_signal(1, 0), "half 1");
  EXPECT_EQ(ack(1, 0), "release 10");  // the late ack spares a duplicate
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, open 2");
}

TEST_F(ZerobusSession, ASecondCloseSignalMovesTheDeadline) {
  open_stream();
  send(1, 1);
  close_signal(1, 10'000);
  pass(5'000);
  EXPECT_EQ(close_signal(1, 1'000), "");
  EXPECT_EQ(pass(1'000), "half 1");
  configure({});
  open_stream();
  send(1, 1);
  close_signal(1, 1'000);
  EXPECT_EQ(close_signal(1, 10'000), "");
  EXPECT_EQ(pass(9'999), "");
  EXPECT_EQ(pass(1), "half 1");
}

TEST_F(ZerobusSession, DataDuringThePauseIsSentOnTheNextStream) {
  open_stream();
  send(1, 1);
  no_data(1);
  close_signal(1, 30'000);
  EXPECT_EQ(data(), "");
  EXPECT_EQ(ack(1, 0), "release 10, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, open 2");
  EXPECT_EQ(created(2), "want 2");
}

TEST_F(ZerobusSession, AnErrorDuringThePauseIsAnOrdinaryOne) {
  open_stream();
  send(1, 2);
  ack(1, 0);
  close_signal(1, 30'000);
  EXPECT_EQ(closed(1, code::kInternal), "rewind 11, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
}

TEST_F(ZerobusSession, TheAnnouncedEndItselfIsNoFailure) {
  open_stream();
  send(1, 2);
  ack(1, 0);
  close_signal(1, 1'000);
  EXPECT_EQ(closed(1, code::kUnavailable, "Stream timeout reached"), "rewind 11, open 2");
}

TEST_F(ZerobusSession, LateAcksAfterTheHalfCloseAreTakenForABoundedTime) {
  open_stream();
  send(1, 3);
  close_signal(1, 1'000);
  EXPECT_EQ(pass(1'000), "half 1");
  EXPECT_EQ(pass(4'000), "");
  EXPECT_EQ(ack(1, 1), "release 20");
  EXPECT_EQ(pass(1'000), "cancel 1, rewind 21, open 2");
  EXPECT_EQ(ack(1, 2), "");
}

TEST_F(ZerobusSession, AServerThatRotatesStreamsBeforeTheyCarryAnythingIsNoBusyLoop) {
  open_stream();
  EXPECT_EQ(close_signal(1, 0), "half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
}

// Nor does one that lets each carry a little.
TEST_F(ZerobusSession, AServerThatRotatesEachStreamAfterAnAckIsNoBusyLoop) {
  open_stream();
  for (uint64_t generation = 1; generation <= 2; ++generation) {
    send(generation, 2, generation * 10 - 9);
    ack(generation, 0);
    EXPECT_EQ(close_signal(generation, 0), "half " + std::to_string(generation));
    const auto after = closed(generation, code::kOk);
    EXPECT_EQ(after, generation == 1 ? "rewind 11, open 2" : "rewind 21, backoff");
    if (generation == 1) created(2);
  }
  EXPECT_EQ(text_, "streams are ended soon after they were opened: the server ended the stream");
  EXPECT_EQ(to_deadline(), "open 3");
  created(3);
  send(3, 2, 21);
  pass(5'000);
  EXPECT_EQ(ack(3, 0), "release 30, streaming");
  EXPECT_EQ(close_signal(3, 0), "half 3");
  EXPECT_EQ(closed(3, code::kOk), "rewind 31, open 4") << "it was open long enough";
}

// Also when there is nothing to send at that moment, but soon again.
TEST_F(ZerobusSession, RecordsThatTrickleOpenNoStreamEachWhereTheServerEndsThem) {
  open_stream();
  uint64_t generation = 1;
  const auto carry_one = [&] {
    batch(generation, generation, generation);
    write_done(generation);
    no_data(generation);
    ack(generation, 0);
    EXPECT_EQ(closed(generation, code::kUnavailable),
              fmt::format("rewind {}, idle", generation + 1));
    ++generation;
  };
  carry_one();
  EXPECT_EQ(data(), "connecting, open 2") << "once";
  created(2);
  carry_one();
  EXPECT_EQ(data(), "backoff");
  EXPECT_EQ(delay_ms(), 500);
  EXPECT_EQ(data(), "");
  EXPECT_EQ(to_deadline(), "open 3");
  created(3);
  carry_one();
  pass(60'000);
  EXPECT_EQ(data(), "connecting, open 4") << "the time is over";
}

TEST_F(ZerobusSession, AnIdleStreamThatIsRotatedStaysClosed) {
  open_stream();
  send(1, 1);
  ack(1, 0);
  no_data(1);
  EXPECT_EQ(close_signal(1, 30'000), "half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 11, idle");
}

TEST_F(ZerobusSession, TroubleNamesTheStreamForTheServicesSupport) {
  open_stream();
  send(1, 1);
  closed(1, code::kInternal, "it broke");
  EXPECT_EQ(text_, "INTERNAL: it broke (stream s)");
  to_deadline();
  closed(2, code::kUnavailable, "not open yet");
  EXPECT_EQ(text_.find("(stream"), std::string::npos) << text_;
}

// --- refused data

TEST_F(ZerobusSession, RefusedDataIsSearchedInOrderDownToTheRecordWithoutBackoff) {
  open_stream();
  send(1, 3);
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rejected [1-30], rewind 1, open 2");
  EXPECT_EQ(created(2), "want 2 to 30");
  EXPECT_EQ(batch(2, 1, 10), "write 2:0 [1-10]");
  EXPECT_EQ(write_done(2), "");  // alone
  EXPECT_EQ(ack(2, 0), "release 10, want 2 to 30");
  EXPECT_EQ(batch(2, 11, 14), "write 2:1 [11-14]");
  EXPECT_EQ(closed(2, code::kOutOfRange), "rewind 11, open 3");
  EXPECT_EQ(created(3), "want 3 to 12");
  batch(3, 11, 12);
  EXPECT_EQ(ack(3, 0), "release 12, want 3 to 13");
  EXPECT_EQ(write_done(3), "");
  batch(3, 13, 13);
  EXPECT_EQ(closed(3, code::kInvalidArgument), "rewind 13, open 4");  // not the first request
  EXPECT_EQ(created(4), "want 4 to 13");
  batch(4, 13, 13);
  EXPECT_EQ(closed(4, code::kInvalidArgument, "bad row"), "poison 13, rewind 14, open 5");
  EXPECT_EQ(created(5), "want 5 to 14");
  batch(5, 14, 14);
  write_done(5);
  EXPECT_EQ(ack(5, 0), "release 14, want 5 to 30");
  batch(5, 15, 30);
  write_done(5);
  EXPECT_EQ(ack(5, 1), "release 30, want 5");
}

TEST_F(ZerobusSession, ARecordIsNotBlamedForTheFirstRefusalEvenIfItWasAlone) {
  open_stream();
  batch(1, 1, 1);
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rejected [1-1], rewind 1, open 2");
  EXPECT_EQ(created(2), "want 2 to 1");
  batch(2, 1, 1);
  EXPECT_EQ(ack(2, 0), "release 1, want 2");
}

TEST_F(ZerobusSession, WhileTheSchemaIsInDoubtNoRecordIsNamedAndTheSearchBacksOff) {
  open_stream();
  session_->doubt_schema(true);
  batch(1, 1, 2);
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rejected [1-2], rewind 1, open 2");
  created(2);
  batch(2, 1, 1);
  for (uint64_t generation = 2; generation < 5; ++generation) {
    EXPECT_EQ(closed(generation, code::kInvalidArgument),
              generation == 2 ? "rewind 1, backoff" : "rewind 1");
    EXPECT_NE(text_.find("the record is kept"), std::string::npos) << text_;
    EXPECT_EQ(to_deadline(), fmt::format("open {}", generation + 1));
    created(generation + 1);
    batch(generation + 1, 1, 1);
  }
  session_->doubt_schema(false);
  EXPECT_EQ(closed(5, code::kInvalidArgument), "poison 1, rewind 2, open 6");
}

// A front end with a limit of its own: the batch is sent in parts, and only a record that is too
// large alone is named.
TEST_F(ZerobusSession, ABatchTooLargeForTheServerIsSentInParts) {
  const auto too_large = [this](uint64_t generation) {
    return run(session_->closed(
        at(), generation,
        {code::kResourceExhausted, "Received message larger than max", false, true}));
  };
  open_stream();
  const size_t before = max_bytes_;
  batch(1, 1, 4);
  EXPECT_EQ(too_large(1), "rejected [1-4], rewind 1, open 2");
  EXPECT_EQ(created(2), "want 2 to 2");
  EXPECT_LE(max_bytes_, before / 2) << "the next ones would be refused like it";
  batch(2, 1, 2);
  write_done(2);
  EXPECT_EQ(ack(2, 0), "release 2, want 2 to 3");
  batch(2, 3, 3);
  EXPECT_EQ(too_large(2), "rewind 3, open 3") << "not the first request of its stream";
  created(3);
  batch(3, 3, 3);
  EXPECT_EQ(too_large(3), "poison 3, rewind 4, open 4");
}

TEST_F(ZerobusSession, AnOpenThatIsTooLargeForTheServerWaitsForAPerson) {
  start();
  data();
  EXPECT_EQ(run(session_->closed(at(), 1, {code::kResourceExhausted, "too large", false, true})),
            "held");
  EXPECT_NE(text_.find("batch.max_size"), std::string::npos) << text_;
}

TEST_F(ZerobusSession, AProbeWithoutRowsIsPassedBy) {
  open_stream();
  batch(1, 1, 8);
  closed(1, code::kInvalidArgument);
  EXPECT_EQ(created(2), "want 2 to 4");
  EXPECT_EQ(no_data(2), "want 2 to 6");
  EXPECT_EQ(no_data(2), "want 2 to 7");
  EXPECT_EQ(no_data(2), "want 2 to 8");
  batch(2, 8, 8);
  EXPECT_EQ(closed(2, code::kInvalidArgument), "poison 8, rewind 9, open 3");
  EXPECT_EQ(created(3), "want 3");
}

TEST_F(ZerobusSession, OtherTroubleDuringASearchDoesNotEndIt) {
  open_stream();
  batch(1, 1, 2);
  closed(1, code::kInvalidArgument);
  created(2);
  batch(2, 1, 1);
  EXPECT_EQ(closed(2, code::kUnavailable), "rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(created(3), "want 3 to 1");
  batch(3, 1, 1);
  EXPECT_EQ(closed(3, code::kInvalidArgument), "poison 1, rewind 2, open 4");
}

// A status that cannot be read may be a refusal, but only if it comes again for the same records,
// and it is not worth a hurry.
TEST_F(ZerobusSession, WhatEndsUnreadAtTheSameRecordTwiceIsSearchedWithBackoff) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(unread(1), "rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(created(2), "want 2");
  batch(2, 1, 10);
  EXPECT_EQ(unread(2), "rejected [1-10], rewind 1");
  EXPECT_GT(delay_ms(), 0);
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(created(3), "want 3 to 5");
  batch(3, 1, 5);
  write_done(3);
  EXPECT_EQ(ack(3, 0), "release 5, streaming, want 3 to 7");
  batch(3, 6, 6);
  EXPECT_EQ(unread(3), "rewind 6, backoff");  // alone, but not the first request
  EXPECT_EQ(to_deadline(), "open 4");
  EXPECT_EQ(created(4), "want 4 to 6");
  batch(4, 6, 6);
  EXPECT_EQ(unread(4), "poison 6, rewind 7");
  EXPECT_EQ(to_deadline(), "open 5");
  EXPECT_EQ(created(5), "want 5 to 7");
}

TEST_F(ZerobusSession, WhatEndsUnreadAtDifferentRecordsIsTroubleThatPasses) {
  open_stream();
  send(1, 2);
  unread(1);
  to_deadline();
  created(2);
  batch(2, 1, 10);
  write_done(2);
  ack(2, 0);
  batch(2, 11, 20);
  EXPECT_EQ(unread(2), "rewind 11, backoff");
  to_deadline();
  EXPECT_EQ(created(3), "want 3");
  EXPECT_EQ(unread(3), "rewind 11") << "nothing was on its way: nothing can be suspected";
}

// The server's own trouble is no refusal, however often it comes.
TEST_F(ZerobusSession, TroubleThatCanBeReadIsNeverTakenForARefusal) {
  open_stream();
  for (uint64_t generation = 1; generation < 50; ++generation) {
    ASSERT_EQ(batch(generation, 1, 1),
              fmt::format("write {}:0 [1-1], want {}", generation, generation));
    const int code = generation % 2 ? code::kInternal : code::kUnknown;
    ASSERT_EQ(closed(generation, code), "rewind 1, backoff");
    ASSERT_EQ(to_deadline(), fmt::format("open {}", generation + 1));
    ASSERT_EQ(created(generation + 1), fmt::format("want {}", generation + 1));
  }
}

TEST_F(ZerobusSession, ASearchWaitsWhenItOpensTooManyStreamsButGoesOn) {
  SessionConfig config;
  config.search_opens_per_min = 3;
  configure(config);
  open_stream();
  batch(1, 1, 8);
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rejected [1-8], rewind 1, open 2");
  pass(10'000);
  created(2);
  batch(2, 1, 4);
  EXPECT_EQ(closed(2, code::kInvalidArgument), "rewind 1, open 3");
  created(3);
  batch(3, 1, 2);
  EXPECT_EQ(closed(3, code::kInvalidArgument), "rewind 1, backoff");
  EXPECT_EQ(delay_ms(), 50'000);
  EXPECT_EQ(to_deadline(), "open 4");
  EXPECT_EQ(created(4), "want 4 to 1");
}

TEST_F(ZerobusSession, TooManyRefusedRecordsInARowAreHeldAndKept) {
  SessionConfig config;
  config.poison_limit = 2;
  configure(config);
  open_stream();
  batch(1, 1, 3);
  closed(1, code::kInvalidArgument);
  created(2);
  batch(2, 1, 1);
  EXPECT_EQ(closed(2, code::kInvalidArgument), "poison 1, rewind 2, open 3");
  created(3);
  batch(3, 2, 2);
  EXPECT_EQ(closed(3, code::kInvalidArgument), "poison 2, rewind 3, open 4");
  EXPECT_EQ(session_->snapshot().poison_in_a_row, 2);
  for (uint64_t generation = 4; generation < 100; ++generation) {  // never gives up, keeps the data
    ASSERT_NE(created(generation).find(fmt::format("want {} to 3", generation)), std::string::npos);
    batch(generation, 3, 3);
    ASSERT_EQ(closed(generation, code::kInvalidArgument),
              generation == 4 ? "rewind 3, held" : "rewind 3");
    EXPECT_NE(text_.find("schema"), std::string::npos) << text_;
    EXPECT_EQ(delay_ms(), 300'000);
    ASSERT_EQ(to_deadline(), fmt::format("open {}", generation + 1));
  }
  created(100);
  batch(100, 3, 3);
  EXPECT_EQ(ack(100, 0), "release 3, streaming, want 100");
  EXPECT_EQ(session_->snapshot().poison_in_a_row, 0);
}

TEST_F(ZerobusSession, AfterTheSuspectsSendingIsParallelAgain) {
  open_stream();
  send(1, 2);
  closed(1, code::kInvalidArgument);
  created(2);
  batch(2, 1, 20);
  write_done(2);
  EXPECT_EQ(ack(2, 0), "release 20, want 2");
  EXPECT_EQ(batch(2, 21, 30), "write 2:1 [21-30], want 2");
}

TEST_F(ZerobusSession, ARefusalWithNothingUnackedBlamesNobody) {
  open_stream();
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rewind 1, backoff");
}

// --- stop, hold, resume

TEST_F(ZerobusSession, StopTakesLateAcksAndEndsWithTheServer) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(stop(), "draining, half 1");
  EXPECT_EQ(stop(), "");
  EXPECT_EQ(data(), "");
  EXPECT_EQ(ack(1, 1), "release 20");
  EXPECT_EQ(closed(1, code::kOk), "rewind 21, stopped, end");
  EXPECT_EQ(data() + created(1) + resume() + hold("x") + stop() + pass(1'000'000), "");
}

TEST_F(ZerobusSession, StopDoesNotWaitLongerThanTheDrainTimeout) {
  open_stream();
  send(1, 2);
  stop();
  EXPECT_EQ(pass(4'999), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 1, stopped, end");
}

TEST_F(ZerobusSession, StopWithoutAStreamIsImmediate) {
  EXPECT_EQ(start(), "idle");
  EXPECT_EQ(stop(), "stopped, end");
  configure({});
  start();
  data();
  EXPECT_EQ(stop(), "cancel 1, stopped, end");
  configure({});
  start();
  data();
  closed(1, code::kUnavailable);
  EXPECT_EQ(stop(), "stopped, end");
  EXPECT_EQ(armed_, MonoTime::max());
}

TEST_F(ZerobusSession, StopDuringTheCloseOfARotationEndsToo) {
  open_stream();
  send(1, 1);
  close_signal(1, 0);
  EXPECT_EQ(stop(), "draining");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1, stopped, end");
}

TEST_F(ZerobusSession, HoldKeepsEverythingUntilResume) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(hold("column ts: no such field"), "held, half 1");
  EXPECT_EQ(text_, "column ts: no such field");
  EXPECT_EQ(ack(1, 0), "release 10");
  EXPECT_EQ(closed(1, code::kOk), "rewind 11");
  EXPECT_EQ(data(), "");
  EXPECT_EQ(pass(10'000'000), "");
  EXPECT_EQ(resume(), "connecting, open 2");
  EXPECT_EQ(created(2), "streaming, want 2");
}

TEST_F(ZerobusSession, HoldDuringOpeningAndBackoffStopsTheAttempts) {
  start();
  data();
  EXPECT_EQ(hold("a"), "held, cancel 1");
  EXPECT_EQ(hold("b"), "held");  // another reason is news
  EXPECT_EQ(resume(), "connecting, open 2");
  closed(2, code::kUnavailable);
  EXPECT_EQ(hold("a"), "held");
  EXPECT_EQ(pass(10'000'000), "");
  EXPECT_EQ(resume(), "connecting, open 3");
}

TEST_F(ZerobusSession, ResumeBeforeTheStreamHasEndedReopensIt) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(hold("reload"), "held, half 1");
  EXPECT_EQ(resume(), "connecting");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1, open 2");
}

TEST_F(ZerobusSession, ResumeEndsTheWaitOfAHeldLane) {
  start();
  data();
  EXPECT_EQ(closed(1, code::kNotFound), "held");
  EXPECT_TRUE(session_->snapshot().retry_at);
  EXPECT_EQ(resume(), "connecting, open 2");
}

TEST_F(ZerobusSession, AHoldWithATimeEndsByItself) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(run(session_->hold(at(), "too many", Millis(10'000))), "held, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1");
  EXPECT_EQ(delay_ms(), 10'000);
  EXPECT_EQ(pass(9'999), "");
  EXPECT_EQ(pass(1), "open 2");  // what it was held for is not over
  EXPECT_EQ(created(2), "want 2");
  EXPECT_EQ(hold("too many"), "half 2");
  EXPECT_EQ(hold("until resume"), "held");
  closed(2, code::kOk);
  EXPECT_EQ(pass(10'000'000), "");
}

TEST_F(ZerobusSession, AfterAHoldAnAcknowledgementSaysThatTheTroubleIsOver) {
  open_stream();
  send(1, 1);
  run(session_->hold(at(), "too many", Millis(10'000)));
  closed(1, code::kOk);
  EXPECT_EQ(pass(10'000), "open 2");
  EXPECT_EQ(created(2), "want 2");
  EXPECT_EQ(session_->snapshot().state, SessionState::kHeld);
  send(2, 1);
  EXPECT_EQ(ack(2, 0), "release 10, streaming");
}

TEST_F(ZerobusSession, StopWhileHeldEnds) {
  start();
  hold("x");
  EXPECT_EQ(stop(), "stopped, end");
}

TEST_F(ZerobusSession, WhatWasAckedBeforeTheStartIsNotAskedForAgain) {
  EXPECT_EQ(start(500), "idle");
  data();
  created(1);
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 501, backoff");
}

// --- fewer streams than tables

TEST_F(ZerobusSession, TheTimeToOpenCountsFromTheTurn) {
  start();
  data();
  EXPECT_EQ(run(session_->queued(at(), 1)), "");
  EXPECT_EQ(pass(3'600'000), "") << "it waits for its turn, however long";
  EXPECT_EQ(run(session_->turn(at(), 1)), "");
  EXPECT_EQ(pass(14'999), "");
  EXPECT_EQ(pass(1), "cancel 1, backoff");
}

TEST_F(ZerobusSession, StoppedWhileItWaitsForItsTurn) {
  start();
  data();
  run(session_->queued(at(), 1));
  EXPECT_EQ(stop(), "cancel 1, stopped, end");
}

TEST_F(ZerobusSession, AtRestItLeavesAtOnceAndComesBackWithDataWithoutNews) {
  open_stream();
  EXPECT_EQ(no_data(1), "");
  EXPECT_TRUE(session_->at_rest());
  EXPECT_EQ(run(session_->leave(at())), "half 1");
  EXPECT_EQ(run(session_->leave(at())), "") << "once";
  EXPECT_EQ(closed(1, code::kOk), "rewind 1");
  EXPECT_EQ(session_->snapshot().state, SessionState::kIdle);
  EXPECT_EQ(data(), "open 2");
  EXPECT_EQ(created(2), "want 2");
}

TEST_F(ZerobusSession, BusyItLeavesWithItsAcksAndAsksAgain) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(run(session_->leave(at())), "") << "a turn has an acknowledgement";
  EXPECT_EQ(ack(1, 0), "release 10");
  EXPECT_EQ(batch(1, 21, 30), "") << "nothing more is sent";
  EXPECT_EQ(ack(1, 1), "release 20, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 21, open 2");
}

TEST_F(ZerobusSession, ForABatchThatCannotBePreparedNoStreamIsKeptOrOpened) {
  open_stream();
  EXPECT_EQ(run(session_->leave(at())), "") << "the batch may come";
  EXPECT_EQ(run(session_->not_now(at(), 1)), "half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 1");
  EXPECT_EQ(session_->snapshot().text, "what there is to send cannot be prepared now");
  EXPECT_EQ(to_deadline(), "");
  EXPECT_EQ(data(), "open 2");
  EXPECT_EQ(created(2), "want 2");
}

TEST_F(ZerobusSession, ABatchThatCannotBePreparedWaitsForNoticeAndThenForTheIdleTime) {
  open_stream();
  EXPECT_EQ(run(session_->not_now(at(), 1)), "");
  EXPECT_EQ(run(session_->not_now(at(), 1)), "") << "answered already";
  EXPECT_EQ(data(), "want 1");
  EXPECT_EQ(run(session_->not_now(at(), 1)), "");
  EXPECT_EQ(pass(119'000), "");
  EXPECT_EQ(to_deadline(), "half 1");
}

// Of the records in between nothing is known.
TEST_F(ZerobusSession, AProbeThatCannotBePreparedIsAskedForAgain) {
  open_stream();
  send(1, 1);
  EXPECT_EQ(closed(1, code::kInvalidArgument), "rejected [1-10], rewind 1, open 2");
  EXPECT_EQ(created(2), "want 2 to 5");
  EXPECT_EQ(run(session_->not_now(at(), 2)), "");
  EXPECT_EQ(data(), "want 2 to 5");
}

TEST_F(ZerobusSession, RowsOfAnotherFormGoOnANewStreamBehindTheAcksOfTheOld) {
  open_stream();
  send(1, 2);
  EXPECT_EQ(run(session_->renew(at())), "");
  EXPECT_EQ(batch(1, 21, 30), "") << "nothing more is sent";
  EXPECT_EQ(ack(1, 1), "release 20, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 21, open 2");
  EXPECT_EQ(created(2), "want 2");
  EXPECT_EQ(run(session_->renew(at())), "half 2");
  EXPECT_EQ(closed(2, code::kOk), "rewind 21, open 3") << "it was asked for a batch";
  EXPECT_EQ(run(session_->renew(at())), "") << "it is being opened";
}

TEST_F(ZerobusSession, LeavingWaitsOnlySoLongForAcks) {
  open_stream();
  send(1, 2);
  ack(1, 0);
  EXPECT_EQ(run(session_->leave(at())), "");
  EXPECT_EQ(pass(5'000), "half 1");
  EXPECT_EQ(pass(5'000), "cancel 1, rewind 11, open 2");
}

TEST_F(ZerobusSession, TroubleIsNewsAlsoWhenTurnsAreTaken) {
  open_stream();
  no_data(1);
  run(session_->leave(at()));
  closed(1, code::kOk);
  data();
  EXPECT_EQ(closed(2, code::kUnavailable), "backoff");
  EXPECT_EQ(to_deadline(), "open 3");
  EXPECT_EQ(created(3), "want 3");
}

}  // namespace
}  // namespace penstock::zerobus
