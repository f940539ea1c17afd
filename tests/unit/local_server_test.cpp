// A real gRPC client against the server in the same process: the protocol, and what is on disk when
// an ack arrives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/zerobus_local/test_client.h"

namespace penstock::local::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;
using LocalServer = ServerTest;

google::protobuf::DescriptorProto telemetry_descriptor() {
  google::protobuf::DescriptorProto row;
  row.set_name("Row");
  using Field = google::protobuf::FieldDescriptorProto;
  const auto add = [&](const char* name, Field::Type type, Field::Label label) {
    auto& field = *row.add_field();
    field.set_name(name);
    field.set_number(row.field_size());
    field.set_type(type);
    field.set_label(label);
  };
  add("ts", Field::TYPE_INT64, Field::LABEL_REQUIRED);
  add("value", Field::TYPE_DOUBLE, Field::LABEL_OPTIONAL);
  return row;
}

TEST_F(LocalServer, AnAcknowledgedRecordIsAlreadyCommitted) {
  start();
  Lakehouse lakehouse(data());
  auto stream = open_json();
  for (int64_t offset = 0; offset < 100; ++offset) {
    ASSERT_TRUE(stream->send_json_batch(offset, {row_json(2 * offset), row_json(2 * offset + 1)}));
    if (offset % 10 != 9) continue;
    ASSERT_TRUE(stream->wait_for_ack(offset));
    // Through another connection, the moment the acknowledgement is here.
    ASSERT_GE(lakehouse.count(kTable), 2 * (stream->acked() + 1));
  }
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
}

TEST_F(LocalServer, NoAckArrivesWhileTheCommitIsHeldUp) {
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  Lakehouse lakehouse(data());
  std::atomic<bool> released{false};
  lakehouse.execute("BEGIN IMMEDIATE");  // the write lock: the server cannot commit
  std::thread client([&] {
    ASSERT_TRUE(stream->send_json(1, row_json(1)));
    ASSERT_TRUE(stream->wait_for_ack(1));
    EXPECT_TRUE(released) << "acknowledged, but not committed";
  });
  EXPECT_TRUE(eventually([&] { return state().find("\"received\":2") != std::string::npos; }));
  std::this_thread::sleep_for(Millis(300));  // time for a server that is wrong to show it
  released = true;
  lakehouse.execute("COMMIT");
  client.join();
  EXPECT_EQ(lakehouse.count(kTable), 2);
}

TEST_F(LocalServer, TheLedgerTellsWhenWhatWasAcknowledged) {
  start();
  auto stream = open();
  const std::string id = stream->create_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  ASSERT_TRUE(stream->send_json(1, row_json(1)));  // its commit stores the ack before
  ASSERT_TRUE(stream->wait_for_ack(1));
  Lakehouse lakehouse(data());
  const auto acks = lakehouse.query(
      "SELECT a._stream_id, a._offset, a._acked_us >= r._arrived_us FROM _acks a "
      "JOIN \"main.iot.telemetry\" r ON r._offset = a._offset ORDER BY a._offset");
  ASSERT_FALSE(acks.empty());
  EXPECT_EQ(acks[0], id + "|0|1");
}

TEST_F(LocalServer, RowsCarryTheirColumnsAndWhereTheyCameFrom) {
  start();
  auto stream = open();
  const std::string id = stream->create_json();
  EXPECT_EQ(id.size(), 36U);
  ASSERT_TRUE(stream->send_json(0, R"({"ts":7,"value":0.5,"note":"it's"})"));
  ASSERT_TRUE(stream->send_json_batch(1, {R"({"ts":8})", R"({"ts":9,"note":"\u0000x"})"}));
  ASSERT_TRUE(stream->wait_for_ack(1));
  Lakehouse lakehouse(data());
  const auto rows = lakehouse.query(
      "SELECT ts, value, hex(note), _stream_id, _offset, _index, typeof(ts), typeof(value), "
      "_arrived_us > 1600000000000000 FROM \"main.iot.telemetry\" ORDER BY _offset, _index");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0], "7|0.5|69742773|" + id + "|0|0|integer|real|1");
  EXPECT_EQ(rows[1], "8|NULL||" + id + "|1|0|integer|null|1");
  EXPECT_EQ(rows[2], "9|NULL|0078|" + id + "|1|1|integer|null|1");
}

TEST_F(LocalServer, ProtoStreamsAreTheDefaultAndStoreTheSameRows) {
  start();
  auto stream = open();
  ASSERT_FALSE(stream->create_proto(telemetry_descriptor()).empty());
  // ts = 7, value = 0.5; then ts alone.
  ASSERT_TRUE(
      stream->send_proto(0, std::string("\x08\x07\x11\x00\x00\x00\x00\x00\x00\xE0\x3F", 11)));
  zb::EphemeralStreamRequest request;
  request.mutable_ingest_record_batch()->set_offset_id(1);
  request.mutable_ingest_record_batch()->mutable_proto_encoded_batch()->add_records("\x08\x08");
  ASSERT_TRUE(stream->send(request));
  ASSERT_TRUE(stream->wait_for_ack(1));
  Lakehouse lakehouse(data());
  const auto rows =
      lakehouse.query("SELECT ts, value, note FROM \"main.iot.telemetry\" ORDER BY ts");
  EXPECT_THAT(rows, ::testing::ElementsAre("7|0.5|NULL", "8|NULL|NULL"));
  ASSERT_TRUE(stream->send_proto(2, "\x10"));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(LocalServer, ResponseHeadersComeBeforeAnyMessage) {
  start();
  auto stream = open();
  stream->wait_for_headers();  // clients await them before create_stream; fails by the deadline
  EXPECT_FALSE(stream->create_json().empty());
}

TEST_F(LocalServer, CallsWithoutCredentialsOrTableAreRefused) {
  auto with_token = options();
  with_token.token = "secret";
  start(with_token);
  EXPECT_EQ(open({"", kTable})->finish().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(open({"Bearer wrong", kTable})->finish().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(open({"Bearer secret", ""})->finish().error_code(), StatusCode::INVALID_ARGUMENT);
  auto good = open({"Bearer secret", kTable});
  EXPECT_FALSE(good->create_json().empty());
}

TEST_F(LocalServer, LongTokensAreAccepted) {
  start();
  auto stream = open({"Bearer " + std::string(16'000, 'x'), kTable});
  EXPECT_FALSE(stream->create_json().empty());
}

TEST_F(LocalServer, CreateIsRefusedForUnknownTablesAndMismatches) {
  start();
  auto unknown = open({"Bearer t", "main.iot.none"});
  EXPECT_EQ(unknown->create_json("main.iot.none"), "");
  EXPECT_EQ(unknown->finish().error_code(), StatusCode::NOT_FOUND);
  auto mismatch = open({"Bearer t", "main.iot.other"});
  EXPECT_EQ(mismatch->create_json(kTable), "");
  EXPECT_EQ(mismatch->finish().error_code(), StatusCode::INVALID_ARGUMENT);
  auto schema = open({"Bearer t", "main.iot.other"});
  EXPECT_EQ(schema->create_proto(telemetry_descriptor(), "main.iot.other"), "");
  const auto status = schema->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("field ts is not a column"));
  auto early = open();
  ASSERT_TRUE(early->send_json(0, row_json(0)));
  EXPECT_EQ(early->finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(LocalServer, TablesOfAPatternComeIntoBeingOnFirstUse) {
  start();
  auto stream = open_json("main.iot.line_7");
  ASSERT_TRUE(stream->send_json(0, R"({"id":1})"));
  ASSERT_TRUE(stream->wait_for_ack(0));
  EXPECT_EQ(Lakehouse(data()).count("main.iot.line_7"), 1);
}

TEST_F(LocalServer, AnOffsetGapEndsTheStreamAndNamesBothOffsets) {
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->send_json(2, row_json(2)));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("expected 1, got 2"));
  EXPECT_EQ(stream->acked(), 0);
  EXPECT_EQ(Lakehouse(data()).count(kTable), 1);
}

TEST_F(LocalServer, ARefusedRecordEndsTheStreamAfterEarlierOnesAreStoredAndAcknowledged) {
  auto slow = options();
  slow.ack_interval = Millis(60'000);  // only the end of the stream brings the acknowledgement
  slow.ack_every = 1'000'000;
  start(slow);
  auto stream = open_json();
  for (int64_t i = 0; i < 5; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  ASSERT_TRUE(stream->send_json_batch(5, {row_json(5), R"({"ts":"2026-01-01"})", row_json(6)}));
  stream->send_json(6, row_json(7));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  for (const char* part :
       {kTable, "record 1 of the batch", "offset 5", "column ts", "microseconds"}) {
    EXPECT_THAT(status.error_message(), HasSubstr(part));
  }
  EXPECT_EQ(stream->acked(), 4);
  EXPECT_EQ(Lakehouse(data()).count(kTable), 5);  // nothing of the batch, nothing after it
}

TEST_F(LocalServer, ACountOfRequestsBringsAnAckWithoutTheTimer) {
  auto counting = options();
  counting.ack_interval = Millis(60'000);
  counting.ack_every = 3;
  start(counting);
  auto stream = open_json();
  for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  ASSERT_TRUE(stream->wait_for_ack(2));
  ASSERT_TRUE(stream->send_json(3, row_json(3)));  // a tail shorter than the count
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  EXPECT_EQ(stream->acked(), 3);
}

TEST_F(LocalServer, TheTimerBringsAnAckForATailShorterThanTheCount) {
  auto timed = options();
  timed.ack_every = 1'000'000;
  start(timed);
  auto stream = open_json();
  for (int64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->send_json(i, row_json(i)));
    ASSERT_TRUE(stream->wait_for_ack(i)) << "the client would wait for ever";
  }
}

TEST_F(LocalServer, HalfCloseBringsEverythingDurableTheLastAckAndOk) {
  auto slow = options();
  slow.ack_interval = Millis(60'000);
  slow.ack_every = 1'000'000;
  start(slow);
  auto stream = open_json();
  for (int64_t i = 0; i < 500; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  stream->half_close();
  const auto status = stream->finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(stream->acked(), 499);
  EXPECT_EQ(stream->acks(), 1);  // cumulative
  EXPECT_EQ(Lakehouse(data()).count(kTable), 500);
}

TEST_F(LocalServer, HalfCloseWithoutAnyRecordIsOk) {
  start();
  auto stream = open_json();
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  EXPECT_EQ(stream->acks(), 0);
}

// A message of exactly `bytes`.
zb::EphemeralStreamRequest message_of(size_t bytes, int64_t offset) {
  zb::EphemeralStreamRequest request;
  auto& record = *request.mutable_ingest_record();
  record.set_offset_id(offset);
  std::string text = R"({"ts":1,"note":"","value":1.5})";
  const size_t at = text.find("\"\"") + 1;
  text.insert(at, bytes - 100, 'x');
  record.set_json_record(text);
  text.insert(at, bytes - request.ByteSizeLong(), 'x');
  record.set_json_record(text);
  EXPECT_EQ(request.ByteSizeLong(), bytes);
  return request;
}

TEST_F(LocalServer, TenMebibytesPassAndOneByteMoreIsRefusedBySize) {
  if (kUnderThreadSanitizer) GTEST_SKIP() << "tens of megabytes through gRPC";
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send(message_of(10'485'760, 0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  ASSERT_TRUE(stream->send(message_of(10'485'761, 1)));
  auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("size"));
  auto far_over = open_json();  // beyond any slack in the transport's own limit
  ASSERT_TRUE(far_over->send(message_of(30'000'000, 0)));
  status = far_over->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("size"));
}

TEST_F(LocalServer, ManyStreamsShareCommitsAndNothingIsLostOrMixed) {
  start();
  constexpr int kStreams = 6;
  constexpr int64_t kRequests = 200;
  std::vector<std::thread> clients;
  for (int s = 0; s < kStreams; ++s) {
    clients.emplace_back([this, s] {
      const std::string table = "main.iot.line_" + std::to_string(s);
      auto stream = open_json(table);
      for (int64_t i = 0; i < kRequests; ++i) {
        const std::string id = std::to_string(s * 1'000'000 + i);
        ASSERT_TRUE(stream->send_json(i, "{\"id\":" + id + "}"));
      }
      stream->half_close();
      EXPECT_TRUE(stream->finish().ok());
      EXPECT_EQ(stream->acked(), kRequests - 1);
    });
  }
  for (auto& client : clients) client.join();
  Lakehouse lakehouse(data());
  for (int s = 0; s < kStreams; ++s) {
    const auto sums = lakehouse.query(
        "SELECT count(*), count(DISTINCT id), min(id - _offset), max(id - _offset) FROM "
        "\"main.iot.line_" +
        std::to_string(s) + "\"");
    const std::string base = std::to_string(s * 1'000'000);
    EXPECT_EQ(sums.at(0), "200|200|" + base + "|" + base);
  }
}

TEST_F(LocalServer, ALargeBacklogIsHeldBackByTheStreamAndStillStoredWhole) {
  if (kUnderThreadSanitizer) GTEST_SKIP() << "tens of megabytes through gRPC";
  start();
  auto stream = open_json();
  std::vector<std::string> batch;
  for (int i = 0; i < 1000; ++i) {
    batch.push_back("{\"ts\":" + std::to_string(i) + ",\"note\":\"" + std::string(1000, 'x') +
                    "\"}");
  }
  for (int64_t i = 0; i < 40; ++i) ASSERT_TRUE(stream->send_json_batch(i, batch));
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  EXPECT_EQ(stream->acked(), 39);
  EXPECT_EQ(Lakehouse(data()).count(kTable), 40'000);
}

TEST_F(LocalServer, AReaderInTheMiddleOfAReadDoesNotStopTheWriter) {
  start();
  Lakehouse reader(data());
  reader.execute("BEGIN");
  EXPECT_EQ(reader.count(kTable), 0);  // takes the read snapshot
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  EXPECT_EQ(reader.count(kTable), 0);
  reader.execute("COMMIT");
  EXPECT_EQ(reader.count(kTable), 1);
}

TEST_F(LocalServer, ARestartOnTheSameDirectoryContinues) {
  start();
  for (int run = 1; run <= 3; ++run) {
    auto stream = open_json();
    ASSERT_TRUE(stream->send_json(0, row_json(run)));
    ASSERT_TRUE(stream->wait_for_ack(0));
    EXPECT_EQ(Lakehouse(data()).count(kTable), run);
    EXPECT_THAT(state(),
                HasSubstr("\"main.iot.telemetry\":{\"rows\":" + std::to_string(run) + ","));
    stream.reset();
    server_->stop();
    server_.reset();
    start();
  }
  EXPECT_THAT(state(), HasSubstr("\"main.iot.telemetry\":{\"rows\":3,\"streams\":0"));
}

TEST_F(LocalServer, AColumnAddedToTheTablesFileAppearsInAnOldLakehouse) {
  start();
  auto stream = open_json("main.iot.other");
  ASSERT_TRUE(stream->send_json(0, R"({"id":1})"));
  ASSERT_TRUE(stream->wait_for_ack(0));
  stream.reset();
  server_.reset();
  dir_.write(
      "tables.yaml",
      "tables: [{name: main.iot.other, columns: [{name: id, type: BIGINT}, {name: more, type: "
      "STRING}]}]");
  start();
  stream = open_json("main.iot.other");
  ASSERT_TRUE(stream->send_json(0, R"({"id":2,"more":"x"})"));
  ASSERT_TRUE(stream->wait_for_ack(0));
  EXPECT_THAT(Lakehouse(data()).query("SELECT id, more FROM \"main.iot.other\" ORDER BY id"),
              ::testing::ElementsAre("1|NULL", "2|x"));
}

TEST_F(LocalServer, WhatCannotBeStoredIsNotAcknowledged) {
  start();
  server_.reset();
  Lakehouse(data()).execute(
      "DROP TABLE \"main.iot.other\"; CREATE VIEW \"main.iot.other\" AS SELECT 1 AS id");
  start();
  auto stream = open_json("main.iot.other");
  ASSERT_TRUE(stream->send_json(0, R"({"id":1})"));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("main.iot.other"));
  EXPECT_EQ(stream->acked(), -1);
  auto healthy = open_json();  // other tables go on
  ASSERT_TRUE(healthy->send_json(0, row_json(0)));
  EXPECT_TRUE(healthy->wait_for_ack(0));
}

TEST_F(LocalServer, AFailedInsertRollsTheCommitBackAndEndsTheStreamUnacknowledged) {
  start();
  Lakehouse lakehouse(data());
  lakehouse.execute(
      "CREATE TRIGGER no_seven BEFORE INSERT ON \"main.iot.other\" WHEN NEW.id = 7 "
      "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END");
  auto stream = open_json("main.iot.other");
  ASSERT_TRUE(stream->send_json_batch(0, {R"({"id":6})", R"({"id":7})", R"({"id":8})"}));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("disk on fire"));
  EXPECT_EQ(stream->acked(), -1);
  EXPECT_EQ(lakehouse.count("main.iot.other"), 0);
}

TEST_F(LocalServer, StoppingStoresAndAcknowledgesWhatWasReadAndEndsStreamsUnavailable) {
  auto slow = options();
  slow.ack_interval = Millis(60'000);
  slow.ack_every = 1'000'000;
  start(slow);
  auto stream = open_json();
  for (int64_t i = 0; i < 50; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  ASSERT_TRUE(eventually([&] { return state().find("\"received\":50") != std::string::npos; }));
  server_->stop();
  EXPECT_EQ(stream->finish().error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(stream->acked(), 49);
  EXPECT_EQ(Lakehouse(data()).count(kTable), 50);
  EXPECT_EQ(open()->finish().error_code(), StatusCode::UNAVAILABLE);
}

TEST_F(LocalServer, AClientThatVanishesLeavesNoStreamBehind) {
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  stream.reset();  // cancels the call
  EXPECT_TRUE(eventually([&] { return state().find("\"streams\":[]") != std::string::npos; }));
}

TEST_F(LocalServer, ASecondServerOnThePortOrTheDirectoryIsRefused) {
  start();
  auto same_port = options();
  same_port.data_dir = dir_.path() + "/other";
  same_port.listen = server_->grpc_address();
  auto second = Server::start(same_port, Log::none());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().what, HasSubstr("in use"));
  auto same_admin = options();
  same_admin.data_dir = dir_.path() + "/third";
  same_admin.admin = server_->admin_address();
  second = Server::start(same_admin, Log::none());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().what, HasSubstr("admin port"));
  second = Server::start(options(), Log::none());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().what, HasSubstr("another server uses"));
}

TEST_F(LocalServer, OnlyLoopbackIsListenedOnUnlessAllowed) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "10.0.0.1:0", "example.com:0"}) {
    auto remote = options();
    remote.listen = address;
    auto server = Server::start(remote, Log::none());
    ASSERT_FALSE(server) << address;
    EXPECT_THAT(server.error().what, HasSubstr("loopback"));
    remote = options();
    remote.admin = address;
    EXPECT_FALSE(Server::start(remote, Log::none())) << address;
  }
  auto wrong = options();
  for (const char* address : {"127.0.0.1", ":0", "127.0.0.1:x", "127.0.0.1:70000"}) {
    wrong.listen = address;
    EXPECT_FALSE(Server::start(wrong, Log::none())) << address;
  }
  auto allowed = options();
  allowed.listen = "0.0.0.0:0";
  allowed.allow_remote = true;
  EXPECT_TRUE(Server::start(allowed, Log::none()));
}

TEST_F(LocalServer, TheBitmapStoreSyncsRawRecordsAndCutsATornTail) {
  auto raw = options();
  raw.store = "bitmap";
  start(raw);
  const std::string file = data() + "/main.iot.telemetry.rows";
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json_batch(0, {row_json(0), row_json(1)}));
  ASSERT_TRUE(stream->send_json(1, row_json(2)));
  ASSERT_TRUE(stream->wait_for_ack(1));
  const auto read = [&] {
    std::ifstream in(file, std::ios::binary);
    zb::JsonRecordBatch batch;
    EXPECT_TRUE(batch.ParseFromString(std::string(std::istreambuf_iterator<char>(in), {})));
    return batch;
  };
  ASSERT_EQ(read().records_size(), 3);
  EXPECT_EQ(read().records(2), row_json(2));
  ASSERT_TRUE(stream->send_json(2, R"({"value":1})"));  // validated all the same
  EXPECT_EQ(stream->finish().error_code(), StatusCode::INVALID_ARGUMENT);
  server_.reset();
  // A record of 16383 bytes of which 5000 arrived: more than the next record overwrites.
  std::ofstream(file, std::ios::binary | std::ios::app) << "\x0A\xFF\x7F" << std::string(5000, 't');
  start(raw);
  EXPECT_THAT(state(), HasSubstr("\"main.iot.telemetry\":{\"rows\":3"));
  stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(3)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  ASSERT_EQ(read().records_size(), 4);
  EXPECT_EQ(read().records(3), row_json(3));
}

}  // namespace
}  // namespace penstock::local::testing
