// The rows of the conformance list that are about the bytes of requests, by number: the lane with
// its session over a spool and a transport in memory. tests/CONFORMANCE.md has the whole table.
#include "agent/zerobus/wire.h"
#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

class Conformance : public LaneTest {
 protected:
  using Rows = std::vector<std::string>;
};

TEST_F(Conformance, C15_C16_RecordsAreJsonObjectsAndABatchIsOneRequest) {
  make_rows(3);
  streams_[0]->created();
  run();
  streams_[0]->written();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 2u);
  EXPECT_EQ(streams_[0]->open.encoding, zerobus::Encoding::kJson);
  EXPECT_EQ(streams_[0]->writes[0].first, 0);
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[0].second), (Rows{row_of(1), row_of(2)}));
  EXPECT_EQ(streams_[0]->writes[1].first, 1);
  EXPECT_EQ(FakeStream::rows(streams_[0]->writes[1].second), (Rows{row_of(3)}));
}

// The SDK returns them to the caller; here they stay in the spool and are sent again, byte for
// byte.
TEST_F(Conformance, C37_C38_C42_C46_UnackedRecordsAreResentInOrderWithIdenticalBytes) {
  make_rows(7);
  streams_[0]->created();
  run();
  for (int i = 0; i < 3; ++i) {
    streams_[0]->written();
    run();
  }
  ASSERT_EQ(streams_[0]->writes.size(), 4u);
  streams_[0]->ack(0);
  run();
  streams_[0]->close(zerobus::code::kUnavailable, "gone");
  const auto second = next_stream(1);
  second->created();
  run();
  serve(*second);
  ASSERT_EQ(second->writes.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(second->writes[i].first, static_cast<int64_t>(i)) << "offsets from zero";
    EXPECT_EQ(second->writes[i].second, streams_[0]->writes[i + 1].second) << "other bytes";
  }
  EXPECT_EQ(cursor(), 7u);
}

TEST_F(Conformance, C45_RecordsAckedBeforeARotationAreWrittenExactlyOnce) {
  make_rows(12);
  streams_[0]->created();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 4u) << "with the transport";
  streams_[0]->written();
  run();
  ASSERT_EQ(streams_[0]->writes.size(), 5u);
  streams_[0]->respond(zerobus::CloseSignal{Millis(30'000)});
  run();
  EXPECT_EQ(streams_[0]->writes.size(), 2u) << "what was under way, and nothing after the signal";
  streams_[0]->written();
  run();
  EXPECT_EQ(streams_[0]->writes.size(), 2u);
  EXPECT_FALSE(streams_[0]->half_closed);
  streams_[0]->ack(1);
  run();
  EXPECT_TRUE(streams_[0]->half_closed) << "all acked: the pause ends early";
  streams_[0]->close(zerobus::code::kOk);
  const auto second = next_stream(1);
  second->created();
  run();
  EXPECT_EQ(serve(*second).size(), 8u) << "from the fifth record on";
  EXPECT_EQ(cursor(), 12u);
}

TEST_F(Conformance, C55_N_ARotationThatFailsLosesNothing) {
  make_rows(4);
  streams_[0]->created();
  run();
  streams_[0]->respond(zerobus::CloseSignal{Millis(30'000)});
  run();
  streams_[0]->close(zerobus::code::kInternal, "in the middle of it");
  const auto second = next_stream(1);
  second->created();
  run();
  EXPECT_EQ(serve(*second), (Rows{row_of(1), row_of(2), row_of(3), row_of(4)}));
}

// The SDK of old sends it and is refused; every stream would end with it.
TEST_F(Conformance, C24_WhatIsLargerThanTheServiceTakesIsSetAsideAndNeverSent) {
  const std::string huge = "{\"n\":2,\"pad\":\"" + std::string(zerobus::kMaxBodyBytes, 'x') + "\"}";
  destination_->batch.max_bytes = 64 << 20;
  destination_->session.in_flight_bytes = destination_->session.batch_bytes = 64 << 20;
  make({row_of(1), huge, row_of(3)});
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]), (Rows{row_of(1), row_of(3)}));
  EXPECT_EQ(cursor(), 3u);
  const auto aside = spool_.quarantined(1);
  ASSERT_EQ(aside.size(), 1u);
  EXPECT_NE(aside.at(2).find("more than 10420224 bytes"), std::string::npos) << aside.at(2);
}

TEST_F(Conformance, C24_ABatchNeverOutgrowsWhatTheServiceTakes) {
  const std::string large = "{\"pad\":\"" + std::string(6 << 20, 'x') + "\"}";
  destination_->batch = {.max_bytes = 64 << 20, .max_rows = 1000, .max_delay = Millis(0)};
  destination_->session.in_flight_bytes = destination_->session.batch_bytes = 64 << 20;
  make({large, large});
  streams_[0]->created();
  run();
  serve(*streams_[0]);
  EXPECT_EQ(streams_[0]->writes.size(), 2u);
  EXPECT_EQ(cursor(), 2u);
}

TEST_F(Conformance, S_TheTableIsAskedAnewAfterARotation) {
  std::vector<bool> asked;
  const auto source = [&](bool fresh, const auto& done) {
    asked.push_back(fresh);
    done(TableRows{*codec::RowEncoder::make({})});
  };
  spool_.preload({"r", "a.b.c"}, {body_of(row_of(1)), body_of(row_of(2)), body_of(row_of(3))});
  auto unused = codec::RowEncoder::make({});
  lane_ = std::make_shared<Lane>(io_, spool_, spool_.state(1), *std::move(unused), destination_,
                                 Log::none(), source);
  lane_->start();
  run();
  auto stream = next_stream(0);
  stream->created();
  run();
  stream->ack(0);
  stream->respond(zerobus::CloseSignal{Millis(30'000)});
  run();
  stream->close(zerobus::code::kOk);
  stream = next_stream(1);
  stream->created();
  run();
  stream->close(zerobus::code::kUnavailable);
  stream = next_stream(2);
  EXPECT_EQ(asked, (std::vector<bool>{false, true, false}));
}

}  // namespace
}  // namespace penstock::lane
