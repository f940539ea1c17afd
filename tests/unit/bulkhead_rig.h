// Lanes as the agent has them, over real connections to the local server in the same process; only
// the spool is in memory. The agent's thread is the test's.
#pragma once

#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "agent/lane/lane.h"
#include "tests/support/fake_spool.h"
#include "tests/support/lakehouse.h"
#include "tests/support/temp_dir.h"
#include "tests/zerobus_local/server.h"

namespace penstock::lane {

class Bulkhead : public testing::Test {
 protected:
  static constexpr Millis kGenerous{90'000};
  static constexpr const char* kTables =
      "tables:\n  - pattern: main.b.*\n    columns:\n"
      "      - {name: n, type: BIGINT, nullable: false}\n      - {name: pad, type: STRING}\n";

  Bulkhead() {
    server_options_.tables_file = dir_.path() / "tables.yaml";
    server_options_.data_dir = (dir_.path() / "data").string();
    std::ofstream(server_options_.tables_file) << kTables;
    spool_.records_per_segment = 50;
    destination_->batch = {.max_bytes = 256 << 10, .max_rows = 100, .max_delay = Millis(5)};
    destination_->session.retry = {Millis(10), Millis(100), Millis(20), Millis(200)};
    destination_->bearer = [](const std::string&, bool, const Destination::Token& done) {
      done(std::string("token-of-the-test"));
    };
  }
  // Lanes first: their streams end before the transport.
  ~Bulkhead() override {
    lanes_.clear();
    destination_->transport.reset();
  }

  void start_server() {
    auto server = local::Server::start(server_options_, Log::none());
    ASSERT_TRUE(server) << server.error().what;
    server_ = *std::move(server);
    connect(static_cast<uint16_t>(server_->grpc_port()));
  }
  void connect(uint16_t port) {
    auto transport =
        zerobus::Transport::connect({"127.0.0.1", port, false, ""}, "penstock/test", Log::none());
    ASSERT_TRUE(transport) << transport.error().what;
    destination_->transport = *std::move(transport);
  }
  void order(const std::string& target) {
    const auto answer = server_->admin("POST", target);
    ASSERT_EQ(answer.find("\"error\""), std::string::npos) << answer;
  }

  // A lane for `table` with `rows` committed records.
  std::shared_ptr<Lane> add_lane(const std::string& table, int rows, size_t pad_bytes = 0) {
    std::vector<std::string> bodies;
    for (int n = 1; n <= rows; ++n) bodies.push_back(body(n, pad_bytes));
    const spool::LaneKey key{"route", table};
    spool_.preload(key, std::move(bodies));
    tables_[spool_.lane(key)] = table;
    auto encoder = codec::RowEncoder::make({});
    EXPECT_TRUE(encoder);
    lanes_.push_back(std::make_shared<Lane>(io_, spool_, spool_.state(spool_.lane(key)),
                                            *std::move(encoder), destination_, Log::none()));
    lanes_.back()->start();
    return lanes_.back();
  }
  static std::string body(int n, size_t pad_bytes) {
    const std::string payload =
        "{\"n\":" + std::to_string(n) + ",\"pad\":\"" + std::string(pad_bytes, 'x') + "\"}";
    RecordView record;
    record.source = "s";
    record.topic = "t";
    record.payload = payload;
    record.received_at_us = 1;
    std::string out;
    encode_record(record, out);
    return out;
  }

  // Lets the agent's thread run until `condition` holds; false when it never does.
  template <class Condition>
  bool run_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kGenerous;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= deadline) return condition();
      io_.restart();
      io_.run_one_for(Millis(20));
    }
    return true;
  }
  void run_for(Millis time) {
    io_.restart();
    io_.run_for(time);
  }
  spool::Seq cursor(const std::shared_ptr<Lane>& lane) { return spool_.cursors()[lane->id()]; }
  bool delivered(const std::vector<std::shared_ptr<Lane>>& lanes, spool::Seq up_to) {
    return run_until([&] {
      const auto cursors = spool_.cursors();
      return std::all_of(lanes.begin(), lanes.end(), [&](const auto& lane) {
        const auto found = cursors.find(lane->id());
        return found != cursors.end() && found->second >= up_to;
      });
    });
  }
  // Rows 1..rows are in the lane's table; each once, unless repeats are allowed.
  testing::AssertionResult exactly(const std::shared_ptr<Lane>& lane, int rows,
                                   bool repeats = false) {
    const auto& table = tables_[lane->id()];
    const auto ids = lakehouse().ids(table);
    for (int n = 1; n <= rows; ++n) {
      const auto found = ids.find(n);
      if (found == ids.end()) return testing::AssertionFailure() << table << " has no row " << n;
      if (!repeats && found->second != 1) {
        return testing::AssertionFailure() << table << " has row " << n << " several times";
      }
    }
    if (ids.size() == static_cast<size_t>(rows)) return testing::AssertionSuccess();
    return testing::AssertionFailure() << table << " has " << ids.size() << " rows";
  }
  test::Lakehouse lakehouse() const { return test::Lakehouse(dir_.path() / "data/lakehouse.db"); }
  size_t open_streams() const {
    const auto state = server_->admin("GET", "/state");
    size_t count = 0;
    for (size_t at = 0; (at = state.find("\"record_type\"", at)) != state.npos; ++at) ++count;
    return count;
  }

  test::TempDir dir_{"bulkhead"};
  local::ServerOptions server_options_;
  std::unique_ptr<local::Server> server_;
  boost::asio::io_context io_;
  test::FakeSpool spool_;
  std::shared_ptr<Destination> destination_ = std::make_shared<Destination>();
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::map<spool::LaneId, std::string> tables_;
};

}  // namespace penstock::lane
