// Goal: what happens to one table is that table's trouble. Method: lanes over one destination and
// its shared connections, one of them in trouble; the others must deliver everything while it
// lasts, and the one must lose nothing.
#include "agent/zerobus/grpc_transport.h"
#include "tests/unit/bulkhead_rig.h"

namespace penstock::lane {
namespace {

constexpr int kRows = 300;

// Orders that make table main.b.dead unusable.
class ADeadTable : public Bulkhead, public testing::WithParamInterface<const char*> {};

TEST_P(ADeadTable, KeepsItsRecordsAndTheOthersDeliverEverything) {
  // Long enough for a store on a busy disk: the others must not run into them.
  destination_->session.open_timeout = Millis(5'000);
  destination_->session.idle_close = Millis(60'000);
  destination_->session.poison_limit = 2;
  start_server();
  order(GetParam());
  const auto dead = add_lane("main.b.dead", kRows);
  std::vector<std::shared_ptr<Lane>> others;
  for (int i = 0; i < 8; ++i) others.push_back(add_lane("main.b.t" + std::to_string(i), kRows));
  EXPECT_TRUE(delivered(others, kRows)) << "the others did not deliver";
  for (const auto& lane : others) {
    EXPECT_TRUE(exactly(lane, kRows));
    EXPECT_EQ(lane->counters().streams_opened, 1u) << "another lane's trouble broke this stream";
  }
  EXPECT_TRUE(run_until([&] { return dead->counters().streams_opened >= 2; })) << "it is not tried";
  EXPECT_LE(cursor(dead), 2u) << "released without an acknowledgement";
  order("/faults/clear");
  EXPECT_TRUE(delivered({dead}, kRows)) << dead->snapshot().text;
  const auto ids = lakehouse().ids("main.b.dead");
  const auto aside = spool_.quarantined(dead->id());
  for (int n = 1; n <= kRows; ++n) {
    EXPECT_NE(ids.contains(n), aside.contains(static_cast<spool::Seq>(n)))
        << "record " << n << " must have exactly one fate";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Reasons, ADeadTable,
    testing::Values("/faults/refuse-create?status=NOT_FOUND&table=main.b.dead",
                    "/faults/refuse-create?status=PERMISSION_DENIED&table=main.b.dead",
                    "/faults/refuse-create?status=RESOURCE_EXHAUSTED&table=main.b.dead",
                    "/faults/refuse-create?status=INTERNAL&table=main.b.dead&text_bytes=200000",
                    "/faults/freeze?table=main.b.dead",
                    "/faults/drop?status=UNAVAILABLE&after=1&times=0&table=main.b.dead",
                    "/faults/reject?match=pad&table=main.b.dead"));

TEST_F(Bulkhead, AHundredAndFiftyTablesPassAServerThatTakesAHundredStreamsAConnection) {
  server_options_.max_streams = 100;
  destination_->session.open_timeout = Millis(60'000);
  start_server();
  for (int i = 0; i < 150; ++i) add_lane("main.b.t" + std::to_string(i), 20);
  EXPECT_TRUE(delivered(lanes_, 20));
  for (const auto& lane : lanes_) {
    EXPECT_TRUE(exactly(lane, 20));
    EXPECT_EQ(lane->counters().streams_opened, 1u);
  }
  EXPECT_EQ(open_streams(), 150u) << "all at once, over several connections";
}

// Fewer than we put on a connection: those over the limit wait unseen and move away. The
// transport's clock is as much faster than the lanes' as their time to open is shorter than usual.
TEST_F(Bulkhead, TablesOverTheServersOwnLimitMoveToConnectionsWithRoom) {
  server_options_.max_streams = 10;
  destination_->session.open_timeout = Millis(1'000);
  start_server();
  destination_->transport = zerobus::grpc_transport(
      {"127.0.0.1", static_cast<uint16_t>(server_->grpc_port()), false, ""}, "penstock/test",
      Log::none(), [] { return MonoTime(15 * read_clock().mono.time_since_epoch()); });
  for (int i = 0; i < 40; ++i) add_lane("main.b.t" + std::to_string(i), 200);
  EXPECT_TRUE(delivered(lanes_, 200));
  for (const auto& lane : lanes_) EXPECT_TRUE(exactly(lane, 200));
}

TEST_F(Bulkhead, AStreamThatTheServerDoesNotReadFillsItsOwnWindowOnly) {
  server_options_.stream_window_bytes = 64 << 10;
  destination_->batch.max_bytes = 16 << 10;
  destination_->session.batch_bytes = 16 << 10;
  destination_->session.in_flight_bytes = 256 << 10;  // more than the window: writes get stuck
  start_server();
  order("/faults/no-read?table=main.b.stuck");
  const auto stuck = add_lane("main.b.stuck", 400, 1'000);
  std::vector<std::shared_ptr<Lane>> others;
  for (int i = 0; i < 4; ++i) others.push_back(add_lane("main.b.t" + std::to_string(i), 400, 500));
  EXPECT_TRUE(delivered(others, 400)) << "the window of one stream held up another";
  for (const auto& lane : others) EXPECT_TRUE(exactly(lane, 400));
  EXPECT_EQ(cursor(stuck), 0u);
  EXPECT_LE(stuck->snapshot().unacked_bytes, destination_->session.in_flight_bytes);
  order("/faults/no-read?on=false&table=main.b.stuck");
  EXPECT_TRUE(delivered({stuck}, 400)) << stuck->snapshot().text;
  EXPECT_TRUE(exactly(stuck, 400));
  EXPECT_EQ(stuck->counters().streams_opened, 1u) << "it only had to wait";
}

TEST_F(Bulkhead, AnUnreadStreamIsLeftAfterTheAckTimeoutAndNothingIsLost) {
  server_options_.stream_window_bytes = 64 << 10;
  destination_->session.ack_timeout = Millis(500);
  start_server();
  order("/faults/no-read?table=main.b.stuck");
  const auto stuck = add_lane("main.b.stuck", 200, 1'000);
  EXPECT_TRUE(run_until([&] { return stuck->counters().streams_opened >= 3; }));
  EXPECT_EQ(cursor(stuck), 0u);
  order("/faults/clear");
  EXPECT_TRUE(delivered({stuck}, 200)) << stuck->snapshot().text;
  EXPECT_TRUE(exactly(stuck, 200, true));
}

// Hundreds of tables of one template, few of them busy: only those keep a stream.
TEST_F(Bulkhead, OnlyTablesInUseKeepAStreamOpen) {
  destination_->session.idle_close = Millis(300);
  destination_->session.end_timeout = Millis(2'000);
  start_server();
  for (int i = 0; i < 60; ++i) add_lane("main.b.t" + std::to_string(i), 5);
  ASSERT_TRUE(delivered(lanes_, 5));
  EXPECT_TRUE(run_until([&] { return open_streams() == 0; })) << open_streams();
  const auto busy = lanes_[7];
  for (int n = 6; n <= 9; ++n) {
    spool_.preload({"route", "main.b.t7"}, {body(n, 0)}, static_cast<spool::Seq>(n - 1));
    busy->committed(static_cast<spool::Seq>(n));
    ASSERT_TRUE(delivered({busy}, static_cast<spool::Seq>(n)));
    EXPECT_LE(open_streams(), 1u);
  }
  EXPECT_TRUE(exactly(busy, 9));
  for (const auto& lane : lanes_) {
    EXPECT_TRUE(lane == busy || lane->counters().streams_opened == 1) << "opened without need";
  }
}

}  // namespace
}  // namespace penstock::lane
