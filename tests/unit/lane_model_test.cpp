// Goal: nothing that a server, a network, a workspace, a spool or a restart does at a bad moment
// loses a record of a lane, sends it out of order on a stream, sets a good one aside, or leaves one
// behind for ever. Method: random lives of three lanes that share two streams, over a spool and a
// transport in memory; then everything is well again, and all must have arrived.
#include <cstdlib>
#include <random>

#include "agent/lane/lane_set.h"
#include "tests/unit/lane_rig.h"

namespace penstock::lane {
namespace {

constexpr spool::LaneId kLanes = 3;

std::string table_of(spool::LaneId id) { return "a.b.t" + std::to_string(id); }

class LaneModel {
 public:
  explicit LaneModel(uint64_t seed) : random_(seed) {
    destination_ = std::make_shared<Destination>();
    destination_->transport = std::make_unique<test::FakeTransport>(streams_);
    destination_->bearer = [this](const std::string&, bool, Destination::Token done) {
      token_requests_.push_back(std::move(done));
    };
    auto& session = destination_->session;
    session.open_timeout = Millis(150);
    session.ack_timeout = Millis(150);
    session.progress_timeout = Millis(400);
    session.idle_close = Millis(60);
    session.drain_timeout = Millis(40);
    session.end_timeout = Millis(20);
    session.in_flight_bytes = 200;
    session.batch_bytes = 60;
    session.poison_limit = 1'000;
    session.search_opens_per_min = 100'000;
    session.retry = {Millis(1), Millis(60), Millis(1), Millis(30)};
    destination_->batch = {
        .max_bytes = 60, .max_rows = 1 + pick(6), .max_delay = Millis(pick(4) == 0 ? 5 : 0)};
    if (pick(2) == 0) destination_->turns = std::make_shared<StreamTurns>(2, Millis(20));
    for (spool::LaneId id = 1; id <= kLanes; ++id) {
      spool_.lane({"r", table_of(id)});
      make(id);
    }
  }

  void step() {
    switch (pick(16)) {
      case 0:
        return more(1 + pick(kLanes));
      case 1:
        return answer_tokens();
      case 2:
        return spool_mishap();
      case 3:
        return restart();
      case 4:
        io_.restart();
        io_.run_one_for(Millis(pick(20)));
        return run();
      default:
        return server_acts();
    }
  }

  void settle() {
    calm_ = true;
    spool_.read_error.reset();
    for (int i = 0; i < 20'000 && !all_arrived(); ++i) {
      if (!stopping_.empty()) finish_stops();
      spool_.release();
      answer_tokens();
      server_acts();
      io_.restart();
      io_.run_one_for(Millis(2));
      run();
    }
    for (spool::LaneId id = 1; id <= kLanes; ++id) {
      EXPECT_EQ(cursor(id), made_[id].size())
          << "lane " << id << ": " << to_string(lanes_[id]->snapshot().state) << ", "
          << lanes_[id]->snapshot().text;
      check_fates(id);
      for (const auto& [seq, reason] : spool_.quarantined(id))
        EXPECT_NE(made_[id].at(seq - 1), 'g') << "a good record was set aside: " << reason;
    }
  }
  size_t streams() const { return streams_.size(); }
  size_t restarts() const { return restarts_; }

 private:
  uint32_t pick(uint32_t below) { return static_cast<uint32_t>(random_() % below); }

  void run() {
    io_.restart();
    while (io_.poll() > 0) io_.restart();
  }
  spool::Seq cursor(spool::LaneId id) { return spool_.cursors()[id]; }
  bool all_arrived() {
    for (spool::LaneId id = 1; id <= kLanes; ++id)
      if (cursor(id) < made_[id].size()) return false;
    return true;
  }

  void make(spool::LaneId id) {
    spool_.preload({"r", table_of(id)}, {}, cursor(id));
    auto encoder = codec::RowEncoder::make({});
    EncoderSource source;
    if (id == 1) {
      source = [this](bool, std::function<void(Result<TableRows>)> done) {
        if (!calm_ && pick(8) == 0) return;  // it hangs
        if (!calm_ && pick(8) == 0) return done(Error{ErrorKind::kTransient, "x", {}});
        const bool current = calm_ || pick(3) > 0;
        done(TableRows{*codec::RowEncoder::make({}), current, current ? "" : "away"});
      };
    }
    lanes_[id] = std::make_shared<Lane>(io_, spool_, spool_.state(id), *std::move(encoder),
                                        destination_, Log::none(), source);
    lanes_[id]->start();
    run();
  }

  // g: good; b: the service refuses it; l: it cannot be encoded.
  void more(spool::LaneId id) {
    std::vector<std::string> bodies;
    for (auto count = 1 + pick(8); count > 0; --count) {
      const auto n = static_cast<int>(made_[id].size()) + 1;
      const char kind = pick(12) > 0 ? 'g' : pick(2) == 0 ? 'b' : 'l';
      made_[id].push_back(kind);
      bodies.push_back(body_of(kind == 'l' ? "bad" : row_of(n)));
    }
    spool_.preload({"r", table_of(id)}, std::move(bodies), cursor(id));
    lanes_[id]->committed(made_[id].size());
    run();
  }

  void answer_tokens() {
    for (auto& done : std::exchange(token_requests_, {})) {
      const auto how = calm_ ? 9 : pick(10);
      if (how == 0) continue;  // it hangs
      if (how == 1)
        done(Error{ErrorKind::kTransient, "x", {}});
      else
        done(std::string("token"));
    }
    run();
  }

  void spool_mishap() {
    switch (pick(4)) {
      case 0:
        spool_.slow = true;
        break;
      case 1:
        if (pick(4) == 0) spool_.held.insert(1 + pick(kLanes));
        break;
      default:
        spool_.release();
    }
    run();
  }

  // By a crash, or in order.
  void restart() {
    if (pick(10) > 0) return;
    const spool::LaneId id = 1 + pick(kLanes);
    if (stopping_.contains(id)) return;
    ++restarts_;
    if (pick(2) == 0) {
      lanes_[id].reset();
      return make(id);
    }
    stopping_.insert(id);
    lanes_[id]->stop([this, id] { stopped_.insert(id); });
    for (int i = 0; i < 100 && !stopped_.contains(id); ++i) {
      if (pick(3) == 0) server_acts();
      io_.restart();
      io_.run_one_for(Millis(5));
      run();
    }
    EXPECT_TRUE(stopped_.contains(id)) << "a stop that does not end";
    finish_stops();
  }
  void finish_stops() {
    for (const auto id : std::exchange(stopping_, {})) {
      stopped_.erase(id);
      lanes_[id].reset();
      make(id);
    }
  }

  // --- the server

  struct Served {
    bool created = false;
    bool closed = false;
    size_t checked = 0;  // writes whose order was looked at
    int last_row = 0;
    size_t taken = 0;  // made durable
    int64_t acked = -1;
  };

  void server_acts() {
    for (size_t i = 0; i < streams_.size(); ++i) {
      auto& served = served_[i];
      if (served.closed || (!calm_ && pick(3) == 0)) continue;
      act(*streams_[i], served);
    }
    run();
    for (spool::LaneId id = 1; id <= kLanes; ++id) check_fates(id);
  }

  void close(FakeStream& stream, Served& served, int code) {
    served.closed = true;
    stream.close(code, "x");
  }

  void act(FakeStream& stream, Served& served) {
    if (stream.cancelled && (calm_ || pick(3) == 0)) return close(stream, served, 1);
    if (!served.created) {
      if (!calm_ && pick(10) == 0) return close(stream, served, pick_code());
      if (!calm_ && pick(3) == 0) return;
      served.created = true;
      return stream.created();
    }
    if (!calm_) {
      if (pick(60) == 0) return close(stream, served, pick_code());
      if (pick(60) == 0) return stream.respond(zerobus::CloseSignal{Millis(pick(60))});
      if (pick(200) == 0) return stream.ack(static_cast<int64_t>(stream.writes.size()) + 1);
      if (pick(10) == 0) return;
    }
    take(stream, served);
    if (served.closed) return;
    report(stream);
    const auto open = static_cast<int64_t>(served.taken) - 1 - served.acked;
    if (open > 0 && (calm_ || pick(2) == 0)) {
      served.acked += calm_ ? open : 1 + pick(static_cast<uint32_t>(open));
      stream.ack(served.acked);
    }
    if (pick(2) == 0) report(stream);
    const bool all = served.taken == stream.writes.size() && stream.done == stream.writes.size();
    if (stream.half_closed && all && (calm_ || pick(2) == 0)) {
      if (served.taken > 0 && served.acked + 1 < static_cast<int64_t>(served.taken) && calm_)
        return;
      close(stream, served, 0);
    }
  }
  int pick_code() {
    static constexpr int kCodes[] = {0, 1, 2, 4, 8, 13, 14, 14, 14, 16};
    return kCodes[pick(std::size(kCodes))];
  }

  // What has begun, and no more; a refused one ends the stream.
  void take(FakeStream& stream, Served& served) {
    const auto id = static_cast<spool::LaneId>(stream.open.table.back() - '0');
    while (served.taken < std::min(stream.writes.size(), stream.done + 1)) {
      if (!calm_ && pick(3) == 0) return;
      const auto& [offset, body] = stream.writes[served.taken];
      ASSERT_EQ(offset, static_cast<int64_t>(served.taken));
      std::vector<int> rows;
      for (const auto& row : FakeStream::rows(body)) rows.push_back(std::stoi(row.substr(5)));
      for (const int row : rows) {
        ASSERT_GT(row, served.last_row) << "out of order";
        for (int between = served.last_row + 1; served.last_row > 0 && between < row; ++between)
          ASSERT_NE(made_[id].at(static_cast<size_t>(between) - 1), 'g') << "a gap on a stream";
        served.last_row = row;
      }
      const bool refused = std::any_of(rows.begin(), rows.end(), [&](int row) {
        return made_[id].at(static_cast<size_t>(row) - 1) == 'b';
      });
      if (refused) return close(stream, served, pick(2) == 0 ? 3 : 11);
      durable_[id].insert(rows.begin(), rows.end());
      ++served.taken;
    }
  }

  // As the transport does: when the last of them is on its way, and when it has passed.
  void report(FakeStream& stream) {
    if (stream.done >= stream.writes.size()) return;
    const size_t left = stream.writes.size() - stream.done;
    const size_t count = left == 1 ? 1 : pick(2) == 0 ? left - 1 : 0;
    if (count > 0) stream.written(count);
  }

  void check_fates(spool::LaneId id) {
    const auto kept = spool_.quarantined(id);
    for (spool::Seq seq = checked_[id] + 1; seq <= cursor(id); ++seq) {
      const bool durable = durable_[id].contains(static_cast<int>(seq));
      ASSERT_NE(durable, kept.contains(seq))
          << "lane " << id << ", record " << seq << (durable ? " has two fates" : " is lost");
      checked_[id] = seq;
    }
  }

  std::mt19937_64 random_;
  boost::asio::io_context io_;
  test::FakeSpool spool_;
  std::vector<std::shared_ptr<FakeStream>> streams_;
  std::shared_ptr<Destination> destination_;
  std::vector<Destination::Token> token_requests_;
  std::map<spool::LaneId, std::shared_ptr<Lane>> lanes_;
  std::set<spool::LaneId> stopping_;
  std::set<spool::LaneId> stopped_;
  std::map<spool::LaneId, std::string> made_;  // the kind of each record
  std::map<spool::LaneId, std::set<int>> durable_;
  std::map<spool::LaneId, spool::Seq> checked_;
  std::map<size_t, Served> served_;
  size_t restarts_ = 0;
  bool calm_ = false;
};

TEST(LaneModel, WhateverHappensEveryRecordHasOneFate) {
  const char* const text = std::getenv("PENSTOCK_TEST_SEED");
  const uint64_t base = text ? std::strtoull(text, nullptr, 10) : std::random_device{}();
  const char* const many = std::getenv("PENSTOCK_TEST_RUNS");
  const uint64_t runs = many ? std::strtoull(many, nullptr, 10) : 3;
  size_t streams = 0;
  size_t restarts = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(base) + ", run " + std::to_string(run));
    LaneModel model(base * 1000 + run);
    for (int i = 0; i < 1'500 && !testing::Test::HasFailure(); ++i) model.step();
    if (!testing::Test::HasFailure()) model.settle();
    if (testing::Test::HasFailure()) return;
    streams += model.streams();
    restarts += model.restarts();
  }
  if (many) printf("streams %zu restarts %zu\n", streams, restarts);
  EXPECT_GT(streams, 30 * runs);
  EXPECT_GT(restarts, 0u);
}

}  // namespace
}  // namespace penstock::lane
