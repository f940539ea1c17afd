// Goal: hundreds of tables share a few streams, and none waits for ever, loses or repeats a record.
// Method: lanes over real connections to the local server, with a cap far below their number.
#include "tests/unit/bulkhead_rig.h"

namespace penstock::lane {
namespace {

class Turns : public Bulkhead {
 protected:
  void cap(size_t streams, Millis turn) {
    destination_->turns = std::make_shared<StreamTurns>(streams, turn);
    destination_->session.end_timeout = Millis(5'000);
    start_server();
  }
  // As many as have a stream; also what the server sees, which learns of an end a little later.
  size_t streams() const {
    return static_cast<size_t>(std::count_if(lanes_.begin(), lanes_.end(), [](const auto& lane) {
      return !lane->snapshot().stream_id.empty();
    }));
  }
  void more(const std::string& table, const std::shared_ptr<Lane>& lane, int from, int to) {
    std::vector<std::string> bodies;
    for (int n = from; n <= to; ++n) bodies.push_back(body(n, 0));
    spool_.preload({"route", table}, std::move(bodies), cursor(lane));
    lane->committed(static_cast<spool::Seq>(to));
  }
};

TEST_F(Turns, AHundredAndFiftyTablesOverEightStreams) {
  cap(8, Millis(50));
  for (int i = 0; i < 150; ++i) add_lane("main.b.t" + std::to_string(i), 60);
  size_t most = 0;
  size_t most_seen = 0;
  const bool all = run_until([&] {
    most = std::max({most, streams(), destination_->turns->in_use()});
    const auto cursors = spool_.cursors();
    const auto left = std::count_if(lanes_.begin(), lanes_.end(), [&](const auto& lane) {
      const auto found = cursors.find(lane->id());
      return found == cursors.end() || found->second < 60;
    });
    if (left % 10 == 0) most_seen = std::max(most_seen, open_streams());
    return left == 0;
  });
  EXPECT_TRUE(all) << destination_->turns->waiting() << " wait";
  EXPECT_EQ(most, 8u) << "as many as allowed, and no more";
  EXPECT_LE(most_seen, 16u);
  for (const auto& lane : lanes_) EXPECT_TRUE(exactly(lane, 60));
}

// Tables that are never at rest give way after their turn, in order: nothing is sent twice.
TEST_F(Turns, TablesThatNeverRestDoNotStarveTheOthers) {
  destination_->max_rows_per_s = 1'000;
  destination_->batch.max_rows = 10;
  cap(2, Millis(60));
  std::vector<std::shared_ptr<Lane>> busy;
  for (int i = 0; i < 2; ++i) busy.push_back(add_lane("main.b.busy" + std::to_string(i), 3'000));
  ASSERT_TRUE(run_until([&] { return streams() == 2; }));
  std::vector<std::shared_ptr<Lane>> others;
  for (int i = 0; i < 6; ++i) others.push_back(add_lane("main.b.t" + std::to_string(i), 100));
  EXPECT_TRUE(delivered(others, 100));
  for (const auto& lane : busy) EXPECT_LT(cursor(lane), 3'000u) << "they only had to finish first";
  EXPECT_TRUE(delivered(busy, 3'000));
  for (const auto& lane : lanes_) {
    const int rows = static_cast<int>(cursor(lane));
    EXPECT_TRUE(exactly(lane, rows)) << "a turn ends in order, without sending twice";
    EXPECT_EQ(lane->snapshot().failures, 0);
  }
  EXPECT_GE(busy[0]->counters().streams_opened, 2u);
}

TEST_F(Turns, TheTableUsedLastKeepsItsStream) {
  cap(3, Millis(60'000));
  for (int i = 0; i < 3; ++i) {
    add_lane("main.b.t" + std::to_string(i), 5);
    ASSERT_TRUE(delivered(lanes_, 5));
  }
  more("main.b.t0", lanes_[0], 6, 7);
  ASSERT_TRUE(delivered({lanes_[0]}, 7));
  ASSERT_TRUE(run_until([&] { return streams() == 3; }));
  add_lane("main.b.t3", 5);
  ASSERT_TRUE(delivered({lanes_[3]}, 5));
  EXPECT_TRUE(lanes_[1]->snapshot().stream_id.empty()) << "the least recently used one goes";
  EXPECT_FALSE(lanes_[0]->snapshot().stream_id.empty());
  EXPECT_FALSE(lanes_[2]->snapshot().stream_id.empty());
  more("main.b.t1", lanes_[1], 6, 9);
  EXPECT_TRUE(delivered({lanes_[1]}, 9));
  EXPECT_TRUE(exactly(lanes_[1], 9));
  EXPECT_EQ(lanes_[0]->counters().streams_opened, 1u);
}

// Lanes whose reads wait for room in the quarantine do not need streams, however long that takes.
TEST_F(Turns, TablesThatCannotBeReadLeaveTheStreamsToTheOthers) {
  destination_->session.open_timeout = Millis(3'600'000);  // nothing else happens on their streams
  cap(2, Millis(50));
  std::vector<std::shared_ptr<Lane>> held;
  for (int i = 0; i < 3; ++i) {
    spool_.held.insert(spool_.lane({"route", "main.b.held" + std::to_string(i)}));
    held.push_back(add_lane("main.b.held" + std::to_string(i), 60));
  }
  ASSERT_TRUE(run_until([&] { return streams() == 2; }));
  std::vector<std::shared_ptr<Lane>> others;
  for (int i = 0; i < 6; ++i) others.push_back(add_lane("main.b.t" + std::to_string(i), 60));
  EXPECT_TRUE(delivered(others, 60)) << destination_->turns->waiting() << " wait";
  for (const auto& lane : held) {
    EXPECT_EQ(cursor(lane), 0u);
    EXPECT_LE(lane->counters().streams_opened, 1u) << "streams in vain";
  }
  spool_.release();
  EXPECT_TRUE(delivered(lanes_, 60));
  for (const auto& lane : lanes_) EXPECT_TRUE(exactly(lane, 60));
}

// What waits for its turn, or has a stream, can be stopped.
TEST_F(Turns, LanesThatWaitCanBeStopped) {
  cap(1, Millis(60'000));
  destination_->max_rows_per_s = 10;
  for (int i = 0; i < 5; ++i) add_lane("main.b.t" + std::to_string(i), 500);
  ASSERT_TRUE(run_until([&] { return destination_->turns->waiting() == 4 && streams() == 1; }));
  size_t stopped = 0;
  for (const auto& lane : lanes_) lane->stop([&] { ++stopped; });
  EXPECT_TRUE(run_until([&] { return stopped == 5; }));
  EXPECT_TRUE(run_until([&] { return destination_->turns->in_use() == 0; }));
  EXPECT_EQ(destination_->turns->waiting(), 0u);
}

// Tables whose streams cannot be opened give their places back.
TEST_F(Turns, DeadTablesDoNotUseUpTheStreams) {
  destination_->session.open_timeout = Millis(300);
  cap(2, Millis(100));
  order("/faults/refuse-create?status=NOT_FOUND&table=main.b.dead0");
  order("/faults/freeze?table=main.b.dead1");
  order("/faults/refuse-create?status=UNAVAILABLE&table=main.b.dead2");
  for (int i = 0; i < 3; ++i) add_lane("main.b.dead" + std::to_string(i), 50);
  std::vector<std::shared_ptr<Lane>> others;
  for (int i = 0; i < 6; ++i) others.push_back(add_lane("main.b.t" + std::to_string(i), 50));
  EXPECT_TRUE(delivered(others, 50));
  order("/faults/clear");
  EXPECT_TRUE(delivered(lanes_, 50));
  for (const auto& lane : lanes_) EXPECT_TRUE(exactly(lane, 50, true));
}

}  // namespace
}  // namespace penstock::lane
