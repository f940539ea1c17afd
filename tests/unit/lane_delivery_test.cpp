// Goal: a lane sends its records in order, releases only what the server acknowledged, and nothing
// that happens to a stream or a record makes it lose or skip one. Method: the driver with the real
// session over a spool and a transport in memory; the io_context is run by hand.
#include <random>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "agent/lane/lane.h"
#include "tests/support/fake_spool.h"
#include "tests/support/fake_transport.h"

namespace penstock::lane {
namespace {

using test::FakeStream;

std::string body_of(const std::string& payload) {
  RecordView record;
  record.source = "s";
  record.topic = "t";
  record.payload = payload;
  record.received_at_us = 1;
  std::string body;
  encode_record(record, body);
  return body;
}

std::string row_of(int n) { return "{\"n\":" + std::to_string(n) + "}"; }

class LaneTest : public testing::Test {
 protected:
  LaneTest() {
    destination_ = std::make_shared<Destination>();
    destination_->transport = std::make_unique<test::FakeTransport>(streams_);
    destination_->bearer = [this](bool fresh) -> Result<std::string> {
      fresh_tokens_ += fresh ? 1 : 0;
      return std::string("token");
    };
    destination_->batch = {.max_bytes = 4096, .max_rows = 2, .max_delay = Millis(0)};
    destination_->session.retry = {Millis(0), Millis(0), Millis(0), Millis(3'600'000)};
  }

  void make(std::vector<std::string> payloads, spool::Seq cursor = 0) {
    std::vector<std::string> bodies;
    for (const auto& payload : payloads) bodies.push_back(body_of(payload));
    spool_.preload({"r", "a.b.c"}, std::move(bodies), cursor);
    auto encoder = codec::RowEncoder::make({});
    ASSERT_TRUE(encoder) << encoder.error().what;
    lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(encoder), destination_,
                                   Log::none());
    lane_->start();
    run();
  }
  void make_rows(int count) {
    std::vector<std::string> payloads;
    for (int n = 1; n <= count; ++n) payloads.push_back(row_of(n));
    make(std::move(payloads));
  }
  // Runs what is ready, and timers that are due, until nothing moves.
  void run() {
    io_.restart();
    while (io_.poll() > 0) io_.restart();
  }
  // Waits (bounded) until a stream beyond the first `known` was opened: backoff has a floor of some
  // milliseconds.
  std::shared_ptr<FakeStream> next_stream(size_t known) {
    for (int tries = 0; tries < 500 && streams_.size() <= known; ++tries) {
      io_.restart();
      io_.run_one_for(Millis(20));
    }
    EXPECT_GT(streams_.size(), known) << "no new stream was opened";
    return streams_.back();
  }
  // Takes all that is written until the lane has no more, acknowledging every request.
  std::vector<std::string> serve(FakeStream& stream) {
    std::vector<std::string> rows;
    for (size_t i = 0; i < stream.writes.size(); ++i) {
      for (auto& row : FakeStream::rows(stream.writes[i].second)) rows.push_back(row);
      stream.written();
      stream.ack(stream.writes[i].first);
      run();
    }
    return rows;
  }
  spool::Seq cursor() { return spool_.cursors()[1]; }

  boost::asio::io_context io_;
  test::FakeSpool spool_;
  std::vector<std::shared_ptr<FakeStream>> streams_;
  std::shared_ptr<Destination> destination_;
  std::shared_ptr<Lane> lane_;
  int fresh_tokens_ = 0;
};

TEST_F(LaneTest, SendsEverythingInOrderAndReleasesOnlyWhatIsAcknowledged) {
  make_rows(5);
  ASSERT_EQ(streams_.size(), 1u);
  EXPECT_EQ(streams_[0]->open.table, "a.b.c");
  EXPECT_EQ(streams_[0]->open.bearer, "token");
  streams_[0]->created();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 1u) << "one write in flight";
  EXPECT_EQ(cursor(), 0u);
  streams_[0]->written();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 2u);
  EXPECT_EQ(cursor(), 0u) << "written is not acknowledged";
  streams_[0]->ack(0);
  run();
  EXPECT_EQ(cursor(), 2u);
  streams_[0]->ack(1);
  run();
  EXPECT_EQ(cursor(), 4u);
  streams_[0]->written();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 3u);
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[0].second),
            (std::vector<std::string>{row_of(1), row_of(2)}));
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[2].second), (std::vector<std::string>{row_of(5)}));
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
