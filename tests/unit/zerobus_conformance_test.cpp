// The rows of the conformance list of the service's own clients (reference, section 10.1) that are
// a stream's business, by number. tests/CONFORMANCE.md has the whole table: which row is where,
// which does not apply, and where Penstock does better on purpose.
//
// The session is driven directly: a row's timing is exact and costs nothing. Rows about bytes are
// in lane_conformance_test.cpp.
#include "tests/unit/zerobus_session_script.h"

namespace penstock::zerobus {
namespace {

class Conformance : public SessionScript {
 protected:
  // `count` records, one a request.
  void send_singles(uint64_t gen, uint64_t first, int count) {
    for (int i = 0; i < count; ++i, ++first) {
      batch(gen, first, first, 100);
      write_done(gen);
    }
  }
};

// --- init / lifecycle

TEST_F(Conformance, C01_SuccessfulStreamCreation) {
  start();
  EXPECT_EQ(data(), "connecting, open 1");
  EXPECT_EQ(created(1), "streaming, want 1");
  EXPECT_EQ(session_->snapshot().stream_id, "s");
  EXPECT_EQ(session_->snapshot().state, SessionState::kStreaming);
}

TEST_F(Conformance, C02_TimeoutedStreamCreation) {
  SessionConfig config;
  config.open_timeout = Millis(100);
  configure(config);
  start();
  data();
  EXPECT_EQ(pass(99), "");
  EXPECT_EQ(pass(1), "cancel 1, backoff");  // bounded; and, unlike the SDK, tried again
  EXPECT_EQ(created(1), "") << "the reply after the timeout is nobody's";
}

// The SDK fails at once. Here the token is replaced once, then the lane waits for a person.
TEST_F(Conformance, C03_NonRetriableErrorDuringStreamCreation) {
  start();
  data();
  EXPECT_EQ(closed(1, code::kUnauthenticated), "drop, open 2");
  EXPECT_EQ(closed(2, code::kUnauthenticated), "drop, held");
  EXPECT_EQ(pass(60'000), "") << "no hot retry";
}

TEST_F(Conformance, C05_GracefulClose) {
  open_stream();
  send_singles(1, 1, 1);
  pass(100);
  EXPECT_EQ(ack(1, 0), "release 1");
  EXPECT_EQ(stop(), "draining, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 2, stopped, end");
}

TEST_F(Conformance, C06_IdempotentClose) {
  open_stream();
  EXPECT_EQ(stop(), "draining, half 1");
  EXPECT_EQ(stop(), "");
  closed(1, code::kOk);
  EXPECT_EQ(stop(), "");
}

TEST_F(Conformance, C07_C08_NothingIsDoneAfterTheClose) {
  open_stream();
  stop();
  closed(1, code::kOk);
  EXPECT_EQ(data() + batch(1, 1, 1) + no_data(1) + resume() + hold("x") + created(2), "");
}

TEST_F(Conformance, C09_CloseWaitsForTheAcksAndTheServersEndButNotForEver) {
  open_stream();
  send_singles(1, 1, 2);
  stop();
  EXPECT_EQ(ack(1, 0), "release 1");
  EXPECT_EQ(ack(1, 1), "release 2");
  EXPECT_EQ(pass(499), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 3, stopped, end");  // acked, but the server does not end it
}

TEST_F(Conformance, C11_CloseIsFineAfterAnError) {
  open_stream();
  send_singles(1, 1, 1);
  EXPECT_EQ(closed(1, code::kInternal), "rewind 1, backoff");
  EXPECT_EQ(stop(), "stopped, end");
  EXPECT_EQ(stop(), "");
}

TEST_F(Conformance, C12_CloseIsPromptWhenEverythingIsAcked) {
  open_stream();
  send_singles(1, 1, 10);
  ack(1, 9);
  stop();
  EXPECT_EQ(to_deadline(), "cancel 1, rewind 11, stopped, end");
  EXPECT_EQ(elapsed_ms(), 500);
}

// --- standard operation

TEST_F(Conformance, C20_C21_OneAckCompletesAHundredRecords) {
  open_stream();
  send_singles(1, 1, 100);
  EXPECT_EQ(session_->snapshot().unacked_batches, 100u);
  EXPECT_EQ(ack(1, 99), "release 100");
  EXPECT_EQ(session_->snapshot().unacked_batches, 0u);
}

TEST_F(Conformance, C22_C25_ABatchIsOneOffset) {
  open_stream();
  EXPECT_EQ(batch(1, 1, 3), "write 1:0 [1-3], want 1");
  write_done(1);
  EXPECT_EQ(batch(1, 4, 103), "write 1:1 [4-103], want 1");
  EXPECT_EQ(ack(1, 1), "release 103");
}

TEST_F(Conformance, C23_NothingIsSentForAnEmptyBatchAndOffsetsGoOn) {
  open_stream();
  EXPECT_EQ(no_data(1), "");
  EXPECT_EQ(data(), "want 1");
  EXPECT_EQ(batch(1, 1, 1), "write 1:0 [1-1], want 1");
  write_done(1);
  EXPECT_EQ(no_data(1), "");
  data();
  EXPECT_EQ(batch(1, 2, 2), "write 1:1 [2-2], want 1");
}

TEST_F(Conformance, C24_ABatchTheServerFindsTooLargeIsHalved) {
  open_stream();
  batch(1, 1, 4);
  write_done(1);
  EXPECT_EQ(closed(1, code::kInvalidArgument, "batch size exceeds maximum"),
            "rejected [1-4], rewind 1, open 2");
  EXPECT_EQ(created(2), "want 2 to 2");
}

TEST_F(Conformance, C26_SinglesAndBatchesShareOneRowOfOffsets) {
  open_stream();
  EXPECT_EQ(batch(1, 1, 1), "write 1:0 [1-1], want 1");
  write_done(1);
  EXPECT_EQ(batch(1, 2, 3), "write 1:1 [2-3], want 1");
  write_done(1);
  EXPECT_EQ(batch(1, 4, 4), "write 1:2 [4-4], want 1");
  EXPECT_EQ(ack(1, 2), "release 4");
}

TEST_F(Conformance, C27_C28_C29_TheStopWaitsForWhatIsSentUpToItsTime) {
  open_stream();
  send_singles(1, 1, 5);
  stop();
  pass(200);
  EXPECT_EQ(ack(1, 4), "release 5");
  EXPECT_EQ(closed(1, code::kOk), "rewind 6, stopped, end");
  configure({});
  armed_ = MonoTime::max();
  open_stream();
  send_singles(1, 1, 5);
  stop();
  EXPECT_EQ(pass(5'000),
            "cancel 1, rewind 1, stopped, end");  // nothing released that was not acked
  configure({});
  armed_ = MonoTime::max();
  start();
  EXPECT_EQ(stop(), "stopped, end");  // nothing sent: at once
}

// --- backpressure

TEST_F(Conformance, C31_TheWindowIsFullByBytesAndAnAckOpensIt) {
  SessionConfig config;
  config.in_flight_bytes = 3'000;
  config.batch_bytes = 1'000;
  configure(config);
  open_stream();
  for (uint64_t i = 1; i <= 3; ++i) {
    batch(1, i, i, 1'000);
    write_done(1);
  }
  EXPECT_EQ(session_->snapshot().unacked_bytes, 3'000u);
  EXPECT_EQ(data(), "") << "no fourth is asked for";
  EXPECT_EQ(ack(1, 0), "release 1, want 1");
}

// --- failure

TEST_F(Conformance, C35_AnErrorAfterAnAckKeepsTheAckAndResendsTheRest) {
  open_stream();
  send_singles(1, 1, 3);
  EXPECT_EQ(ack(1, 0), "release 1");
  EXPECT_EQ(closed(1, code::kInternal, "receiver error"), "rewind 2, backoff");
  EXPECT_EQ(text_, "INTERNAL: receiver error (stream s)");
}

TEST_F(Conformance, C36_ServerUnresponsivenessIsNamedAndTheStreamReplaced) {
  open_stream();
  send_singles(1, 1, 1);
  EXPECT_EQ(pass(59'999), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 1, backoff");
  EXPECT_NE(text_.find("said nothing for 60 s while data was unacknowledged"), std::string::npos);
  EXPECT_EQ(to_deadline(), "open 2");
}

TEST_F(Conformance, C37_C38_C48_TheRewindBeginsAtTheFirstUnackedRecord) {
  open_stream();
  send_singles(1, 1, 2);
  batch(1, 3, 7);
  write_done(1);
  ack(1, 1);
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 3, backoff");
  to_deadline();
  created(2);
  EXPECT_EQ(batch(2, 3, 7), "write 2:0 [3-7], want 2");
  write_done(2);
  ack(2, 0);
  EXPECT_EQ(no_data(2), "");
  EXPECT_EQ(closed(2, code::kOk), "rewind 8, idle");  // all acked: nothing is left to send
}

TEST_F(Conformance, C39_PendingRecordsSurviveARevokedGrant) {
  open_stream();
  send_singles(1, 1, 3);
  EXPECT_EQ(closed(1, code::kPermissionDenied, "grant revoked"), "rewind 1, drop, held");
  EXPECT_NE(text_.find("PERMISSION_DENIED: grant revoked"), std::string::npos);
  EXPECT_NE(text_.find("MODIFY"), std::string::npos);
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(created(2), "want 2");
}

// --- recovery

TEST_F(Conformance, C40_RecoveryDuringStreamCreation) {
  random_ = 0.999;
  start();
  data();
  EXPECT_EQ(closed(1, code::kUnavailable), "backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  EXPECT_EQ(elapsed_ms(), 499);
  created(2);
  send_singles(2, 1, 3);
  EXPECT_EQ(ack(2, 2), "release 3, streaming");
}

// The SDK gives up after five attempts; an agent must not.
TEST_F(Conformance, C41_RetriesAreNeverExhausted) {
  start();
  data();
  for (uint64_t generation = 1; generation <= 500; ++generation) {
    closed(generation, code::kUnavailable, "still down");
    ASSERT_LE(delay_ms(), 60'000);
    ASSERT_EQ(to_deadline(), fmt::format("open {}", generation + 1));
  }
  EXPECT_EQ(created(501), "want 501");
}

TEST_F(Conformance, C42_RecoveryAfterARetriableReceiverError) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  created(2);
  send_singles(2, 1, 5);
  EXPECT_EQ(ack(2, 4), "release 5, streaming");
}

TEST_F(Conformance, C43_ASilentStreamWithNothingSentDoesNotFail) {
  SessionConfig config;
  config.ack_timeout = Millis(100);
  configure(config);
  open_stream();
  no_data(1);
  EXPECT_EQ(pass(10'000), "");
  data();
  send_singles(1, 1, 5);
  EXPECT_EQ(pass(99), "");
  EXPECT_EQ(ack(1, 4), "release 5");
  EXPECT_EQ(pass(10'000), "");
}

TEST_F(Conformance, C44_AnErrorDuringTheCloseReleasesNothing) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(stop(), "draining, half 1");
  EXPECT_EQ(closed(1, code::kPermissionDenied), "rewind 1, stopped, end");
  EXPECT_EQ(data(), "");
}

TEST_F(Conformance, C45_AckedDataIsNotResentAfterACloseSignal) {
  open_stream();
  send_singles(1, 1, 3);
  close_signal(1, 1'000);
  EXPECT_EQ(ack(1, 2), "release 3, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 4, open 2");
}

TEST_F(Conformance, C47_ANewStreamBeginsAtOffsetZero) {
  open_stream();
  send_singles(1, 1, 2);
  closed(1, code::kInternal);
  to_deadline();
  created(2);
  EXPECT_EQ(batch(2, 1, 1), "write 2:0 [1-1], want 2");
}

// --- close signal

TEST_F(Conformance, C49_TheFullServerDurationIsWaitedForAnAckThatDoesNotCome) {
  open_stream();
  send_singles(1, 1, 3);
  ack(1, 1);
  EXPECT_EQ(close_signal(1, 2'000), "");
  EXPECT_EQ(pass(1'999), "");
  EXPECT_EQ(pass(1), "half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 3, open 2");  // one is resent
}

TEST_F(Conformance, C50_WithoutAGraceTheStreamIsClosedAtOnceAndLateAcksStillCount) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(close_signal(1, 0), "half 1");
  EXPECT_EQ(ack(1, 1), "release 2");
  EXPECT_EQ(closed(1, code::kOk), "rewind 3, open 2");  // where the SDK resends both
}

// The SDK has a maximum of its own; here a server's patience beyond the ack timeout is not waited
// for in silence.
TEST_F(Conformance, C51_AGraceOfAnHourIsNoReasonToWaitAnHourInSilence) {
  open_stream();
  send_singles(1, 1, 1);
  close_signal(1, 3'600'000);
  EXPECT_EQ(pass(59'999), "");
  EXPECT_EQ(pass(1), "cancel 1, rewind 1, backoff");
}

TEST_F(Conformance, C53_ThePauseEndsEarlyWhenEverythingIsAcked) {
  open_stream();
  send_singles(1, 1, 3);
  close_signal(1, 30'000);
  EXPECT_EQ(ack(1, 2), "release 3, half 1");
  EXPECT_EQ(closed(1, code::kOk), "rewind 4, open 2");
}

TEST_F(Conformance, C54_RecordsThatComeDuringThePauseAreSentAfterIt) {
  open_stream();
  send_singles(1, 1, 1);
  close_signal(1, 30'000);
  EXPECT_EQ(batch(1, 2, 2), "");
  EXPECT_EQ(data(), "");
  EXPECT_EQ(ack(1, 0), "release 1, half 1");
  closed(1, code::kOk);
  created(2);
  EXPECT_EQ(batch(2, 2, 2), "write 2:0 [2-2], want 2");
}

TEST_F(Conformance, C55_AnErrorDuringThePauseIsAnOrdinaryOne) {
  open_stream();
  send_singles(1, 1, 2);
  ack(1, 0);
  close_signal(1, 30'000);
  EXPECT_EQ(closed(1, code::kInternal), "rewind 2, backoff");
}

// --- callbacks

TEST_F(Conformance, C60_C62_C63_EachAckIsOneReleaseOfAllItCovers) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(ack(1, 0), "release 1");
  EXPECT_EQ(ack(1, 1), "release 2");
  batch(1, 3, 50);
  write_done(1);
  EXPECT_EQ(ack(1, 2), "release 50");
  send_singles(1, 51, 5);
  EXPECT_EQ(ack(1, 7), "release 55");
}

TEST_F(Conformance, C61_AnErrorReleasesNothingThatWasPending) {
  open_stream();
  send_singles(1, 1, 3);
  EXPECT_EQ(ack(1, 0), "release 1");
  const auto end = closed(1, code::kInternal);
  EXPECT_EQ(end.find("release"), std::string::npos) << end;
}

// --- newer suites (section 10.2) and what the list does not have: bad input from the server

TEST_F(Conformance, N1_InvalidAckOffsetsEndTheStreamAndReleaseNothing) {
  for (const int64_t offset : {int64_t{-2}, int64_t{3}, INT64_MAX, INT64_MIN}) {
    configure({});
    open_stream();
    send_singles(1, 1, 3);
    EXPECT_EQ(ack(1, offset), "cancel 1, rewind 1, backoff") << offset;
    EXPECT_NE(text_.find("acknowledged offset"), std::string::npos) << text_;
    to_deadline();
    EXPECT_EQ(created(2), "want 2");
  }
}

TEST_F(Conformance, N2_LateAcksAfterTheHalfCloseAreApplied) {
  open_stream();
  send_singles(1, 1, 3);
  close_signal(1, 100);
  EXPECT_EQ(pass(100), "half 1");
  EXPECT_EQ(ack(1, 0), "release 1");
  EXPECT_EQ(ack(1, 2), "release 3");
  EXPECT_EQ(closed(1, code::kUnavailable), "rewind 4, open 2");
}

TEST_F(Conformance, N3_AnEndOfStreamWithoutAReasonIsTroubleThatPasses) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(closed(1, code::kOk), "rewind 1, backoff");
  EXPECT_EQ(text_, "the server ended the stream");
  EXPECT_EQ(to_deadline(), "open 2");
}

TEST_F(Conformance, N4_TheHardRotationIsTroubleThatPasses) {
  open_stream();
  send_singles(1, 1, 2);
  EXPECT_EQ(
      closed(1, code::kUnavailable, "Stream timeout reached. Error Code: 6002, Error State: 0."),
      "rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
}

TEST_F(Conformance, N5_MessagesInTheWrongOrderEndTheStreamAndAreNamed) {
  start();
  data();
  EXPECT_EQ(close_signal(1, 1'000), "cancel 1, backoff");
  EXPECT_NE(text_.find("with another message"), std::string::npos) << text_;
  to_deadline();
  EXPECT_EQ(ack(2, 0), "cancel 2");
  to_deadline();
  created(3);
  send_singles(3, 1, 1);
  EXPECT_EQ(created(3), "cancel 3, rewind 1, backoff");
  EXPECT_NE(text_.find("twice"), std::string::npos) << text_;
}

TEST_F(Conformance, N6_AMessageOfANewerProtocolIsASignOfLifeAndNothingElse) {
  start();
  data();
  EXPECT_EQ(run(session_->response(at(), 1, UnknownResponse{})), "");
  EXPECT_EQ(pass(15'000), "cancel 1, backoff") << "it does not open the stream";
  to_deadline();
  created(2);
  send_singles(2, 1, 1);
  pass(59'000);
  EXPECT_EQ(run(session_->response(at(), 2, UnknownResponse{})), "");
  EXPECT_EQ(pass(59'000), "");
  EXPECT_EQ(ack(2, 0), "release 1, streaming");
}

TEST_F(Conformance, N7_WhatTheServerSaysIsBoundedWhereItIsShown) {
  const std::string huge(10 << 20, 'x');
  open_stream();
  send_singles(1, 1, 1);
  closed(1, code::kInternal, huge.c_str());
  EXPECT_LT(text_.size(), 1'000u);
  EXPECT_LT(session_->snapshot().text.size(), 1'000u);
  to_deadline();
  run(session_->response(at(), 2, StreamCreated{huge + "\n"}));
  EXPECT_LT(text_.size(), 1'000u);
  EXPECT_LT(session_->snapshot().stream_id.size(), 1'000u);
}

TEST_F(Conformance, N8_ASignalAfterTheHalfCloseChangesNothing) {
  open_stream();
  send_singles(1, 1, 1);
  stop();
  EXPECT_EQ(close_signal(1, 60'000), "");
  EXPECT_EQ(pass(5'000), "cancel 1, rewind 1, stopped, end");
}

TEST_F(Conformance, N9_GarbageDuringThePauseIsTroubleAndNothingIsLost) {
  open_stream();
  send_singles(1, 1, 2);
  close_signal(1, 30'000);
  EXPECT_EQ(run(session_->bad_response(at(), 1, {ErrorKind::kTransient, "malformed", {}})),
            "cancel 1, rewind 1, backoff");
  EXPECT_EQ(to_deadline(), "open 2");
  created(2);
  EXPECT_EQ(batch(2, 1, 2), "write 2:0 [1-2], want 2");
}

}  // namespace
}  // namespace penstock::zerobus
