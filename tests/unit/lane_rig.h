// A Lane with the real session over a spool and a transport in memory; the io_context is run by
// hand.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "agent/lane/lane.h"
#include "tests/support/fake_spool.h"
#include "tests/support/fake_transport.h"

namespace penstock::lane {

using test::FakeStream;

inline std::string body_of(const std::string& payload) {
  RecordView record;
  record.source = "s";
  record.topic = "t";
  record.payload = payload;
  record.received_at_us = 1;
  std::string body;
  encode_record(record, body);
  return body;
}

inline std::string row_of(int n) { return "{\"n\":" + std::to_string(n) + "}"; }

class LaneTest : public testing::Test {
 protected:
  LaneTest() {
    destination_ = std::make_shared<Destination>();
    destination_->transport = std::make_unique<test::FakeTransport>(streams_);
    destination_->bearer = [this](const std::string& table, bool fresh, Destination::Token done) {
      EXPECT_EQ(table, "a.b.c");
      fresh_tokens_ += fresh ? 1 : 0;
      if (tokens_by_hand_) return token_requests_.push_back(std::move(done));
      done(std::string("token"));
    };
    destination_->batch = {.max_bytes = 4096, .max_rows = 2, .max_delay = Millis(0)};
    destination_->session.retry = {Millis(0), Millis(0), Millis(0), Millis(3'600'000)};
  }

  void make(const std::vector<std::string>& payloads, spool::Seq cursor = 0) {
    std::vector<std::string> bodies;
    for (const auto& payload : payloads) bodies.push_back(body_of(payload));
    spool_.preload({"r", "a.b.c"}, std::move(bodies), cursor);
    auto encoder = codec::RowEncoder::make(encoding_);
    ASSERT_TRUE(encoder) << encoder.error().what;
    lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(encoder), destination_,
                                   Log::none());
    lane_->start();
    run();
  }
  void make_rows(int count) {
    std::vector<std::string> payloads;
    for (int n = 1; n <= count; ++n) payloads.push_back(row_of(n));
    make(payloads);
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
  // A server that refuses the rows of these records as the service does: by ending the stream.
  // Returns the rows it took, in order of arrival, once the lane has nothing more to send or is
  // held.
  std::vector<std::string> serve_refusing(const std::set<int>& bad) {
    std::vector<std::string> taken;
    for (size_t known = 0; known < 1000; ++known) {
      const auto stream = next_stream(known);
      stream->created();
      run();
      if (serve_until_refusal(*stream, bad, taken)) return taken;
      run();
      if (lane_->snapshot().state == zerobus::SessionState::kHeld) return taken;
    }
    ADD_FAILURE() << "there is no end of it";
    return taken;
  }
  bool serve_until_refusal(FakeStream& stream, const std::set<int>& bad,
                           std::vector<std::string>& taken) {
    for (size_t i = 0; i < stream.writes.size(); ++i) {
      stream.written();
      run();
      const auto rows = FakeStream::rows(stream.writes[i].second);
      for (const auto& row : rows) {
        if (!bad.contains(std::stoi(row.substr(5)))) continue;
        stream.close(3, "column n: not in the table");
        return false;
      }
      taken.insert(taken.end(), rows.begin(), rows.end());
      stream.ack(stream.writes[i].first);
      run();
    }
    return true;
  }

  boost::asio::io_context io_;
  test::FakeSpool spool_;
  std::vector<std::shared_ptr<FakeStream>> streams_;
  codec::EncoderSpec encoding_;
  std::shared_ptr<Destination> destination_;
  std::shared_ptr<Lane> lane_;
  int fresh_tokens_ = 0;
  bool tokens_by_hand_ = false;  // the test answers token_requests_
  std::vector<Destination::Token> token_requests_;
};

}  // namespace penstock::lane
