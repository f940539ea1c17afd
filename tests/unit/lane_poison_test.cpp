// Records that the mapping refuses: how many in a row are set aside before the lane holds.
#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

TEST_F(LaneTest, TooManyMalformedRecordsInARowAreKeptAndTheLaneIsHeld) {
  destination_->session.poison_limit = 3;
  destination_->session.retry.held = Millis(100);
  make({row_of(1), "bad", "bad", "bad", "bad", row_of(6)});
  for (size_t held = 1; held <= 3; ++held) {
    const auto stream = streams_.back();
    stream->created();
    run();
    EXPECT_EQ(serve(*stream).size(), held == 1 ? 1u : 0u);
    EXPECT_EQ(lane_->snapshot().state, zerobus::SessionState::kHeld);
    EXPECT_NE(lane_->snapshot().text.find("record 5"), std::string::npos) << lane_->snapshot().text;
    EXPECT_EQ(spool_.quarantined(1).size(), 3u);
    EXPECT_EQ(cursor(), 4u);
    stream->close(0);
    next_stream(held);
  }
}

TEST_F(LaneTest, MalformedRecordsWithGoodOnesInBetweenNeverHoldTheLane) {
  destination_->session.poison_limit = 3;
  std::vector<std::string> payloads;
  for (int n = 1; n <= 20; ++n) payloads.push_back(n % 4 == 0 ? row_of(n) : "bad");
  make(payloads);
  streams_[0]->created();
  run();
  EXPECT_EQ(serve(*streams_[0]).size(), 5u);
  EXPECT_EQ(spool_.quarantined(1).size(), 15u);
  EXPECT_EQ(cursor(), 20u);
}

// Each hold ends with all of it encoded anew, the record before the bad ones too.
TEST_F(LaneTest, NoMoreAreSetAsideWhileARecordBeforeThemIsNotAcknowledged) {
  destination_->session.poison_limit = 3;
  destination_->session.retry.held = Millis(100);
  std::vector<std::string> payloads(20, "bad");
  payloads.front() = row_of(1);
  make(payloads);
  for (size_t known = 1; known <= 5; ++known) {
    const auto stream = streams_.back();
    stream->created();
    run();
    for (size_t i = 0; i < stream->writes.size(); ++i) {
      stream->written();
      run();
    }
    stream->close(14);  // UNAVAILABLE
    run();
    EXPECT_EQ(spool_.quarantined(1).size(), 3u);
    EXPECT_EQ(cursor(), 0u);
    next_stream(known);
  }
  const auto stream = streams_.back();
  stream->created();
  run();
  EXPECT_EQ(serve(*stream).size(), 1u);
  EXPECT_EQ(lane_->snapshot().state, zerobus::SessionState::kHeld);
  EXPECT_NE(lane_->snapshot().text.find("record 5"), std::string::npos) << lane_->snapshot().text;
}

}  // namespace
}  // namespace penstock::lane
