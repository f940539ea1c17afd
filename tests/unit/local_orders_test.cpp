// Orders to the local server that change what a stream lives through: silence, flow control, age,
// tokens, tables, connections. Seen by a real gRPC client.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <gtest/gtest.h>

#include "tests/support/http_admin.h"
#include "tests/zerobus_local/test_client.h"

namespace penstock::local::testing {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using grpc::StatusCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LocalOrders : public ServerTest {
 protected:
  void start_with_client() {
    auto with = options();
    with.client = "app:s3cret";
    with.token_lifetime = Millis(3'600'000);
    start(with);
  }
  // Long enough for everything that would happen at once: forty acknowledgements, one after the
  // other.
  static void time_passes(ClientStream& stream_of_other) {
    for (int64_t i = 0; i < 40; ++i) {
      ASSERT_TRUE(stream_of_other.send_json(i, R"({"id":1})"));
      ASSERT_TRUE(stream_of_other.wait_for_ack(i));
    }
  }
  test::HttpReply web(const std::string& path) {
    return test::http_post(static_cast<uint16_t>(server_->admin_port()), path, "");
  }
};

TEST_F(LocalOrders, AFrozenTableTakesEverythingAndAnswersNothingAndLeavesOthersAlone) {
  start();
  auto before = open_json();
  auto other = open_json("main.iot.other");
  post("/faults/freeze?table=main.iot.telemetry");
  ASSERT_TRUE(before->send_json(0, row_json(0)));
  EXPECT_TRUE(eventually([&] { return Lakehouse(data()).count(kTable) == 1; }));
  zb::EphemeralStreamRequest create;
  create.mutable_create_stream()->set_table_name(kTable);
  create.mutable_create_stream()->set_record_type(zb::JSON);
  auto during = open();
  ASSERT_TRUE(during->send(create));
  time_passes(*other);
  EXPECT_THAT(state(), HasSubstr("\"received\":1,\"acked\":0"));
  post("/faults/freeze?on=false&table=main.iot.telemetry");  // what is due goes out
  EXPECT_TRUE(before->wait_for_ack(0));
  zb::EphemeralStreamResponse response;
  ASSERT_TRUE(during->read(response));
  EXPECT_TRUE(response.has_create_stream_response());
}

TEST_F(LocalOrders, AnUnreadStreamStopsItsClientAndNoOther) {
  auto with = options();
  with.stream_window_bytes = 64 << 10;
  start(with);
  auto held = open_json();
  auto other = open_json("main.iot.other");
  ASSERT_TRUE(held->send_json(0, row_json(0)));
  ASSERT_TRUE(held->wait_for_ack(0));
  post("/faults/no-read?table=main.iot.telemetry");
  const std::string note(8 << 10, 'x');
  const std::string row = "{\"ts\":1,\"note\":\"" + note + "\"}";
  std::atomic<int64_t> sent{0};
  std::thread client([&] {
    for (int64_t i = 1; i <= 100; ++i) {
      if (!held->send_json(i, row)) return;
      sent = i;
    }
  });
  // Far less than 100 rows of 8 KiB fit into the window, the transport's buffers and the one
  // message that was being read.
  time_passes(*other);
  EXPECT_LT(sent, 100);
  EXPECT_LE(Lakehouse(data()).count(kTable), 3);
  post("/faults/no-read?on=false&table=main.iot.telemetry");
  client.join();
  EXPECT_EQ(sent, 100);
  EXPECT_TRUE(held->wait_for_ack(100));
}

TEST_F(LocalOrders, RotationSendsTheSignalAtAnAgeAndEndsTheStreamAfterTheGrace) {
  auto with = options();
  with.rotate_every = Millis(300);
  with.rotate_grace = Millis(100);
  start(with);
  int acknowledged = 0;
  // The acknowledgement comes before the signal; on a slow machine behind it, or the stream has
  // ended before the record is there. Then another one is tried.
  for (int round = 0; round < 3 || (acknowledged == 0 && round < 20); ++round) {
    auto stream = open_json();
    ASSERT_TRUE(stream->send_json(0, row_json(round)));
    int signals = 0;
    zb::EphemeralStreamResponse response;
    while (stream->read(response)) {
      acknowledged += response.has_ingest_record_response() ? 1 : 0;
      if (!response.has_close_stream_signal()) continue;
      ++signals;
      EXPECT_EQ(response.close_stream_signal().duration().nanos(), 100'000'000);
    }
    EXPECT_EQ(signals, 1);
    EXPECT_TRUE(stream->finish().ok());
  }
  EXPECT_GE(acknowledged, 1);
  EXPECT_GE(Lakehouse(data()).count(kTable), acknowledged);
}

TEST_F(LocalOrders, RotationCanBeOrderedForOpenStreamsAndHardAndIsLiftedByClear) {
  start();
  auto stream = open_json();
  auto other = open_json("main.iot.other");
  EXPECT_THAT(post("/faults/rotate?every_ms=1&hard=true&table=main.iot.telemetry"),
              HasSubstr("{\"fault\":\"rotate\",\"every_ms\":1,\"grace_ms\":1000,\"hard\":true"));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("Error Code: 6002"));
  ASSERT_TRUE(other->send_json(0, R"({"id":1})"));
  EXPECT_TRUE(other->wait_for_ack(0));
  EXPECT_THAT(post("/faults/clear"), HasSubstr("\"faults\":[]"));
  auto again = open_json();
  ASSERT_TRUE(again->send_json(0, row_json(0)));
  EXPECT_TRUE(again->wait_for_ack(0));
}

TEST_F(LocalOrders, SayingSendsBytesAsTheyAre) {
  start();
  auto stream = open_json();
  post("/faults/say?hex=1A040A02081E");  // a close signal of 30 s
  zb::EphemeralStreamResponse response;
  ASSERT_TRUE(stream->read(response));
  EXPECT_EQ(response.close_stream_signal().duration().seconds(), 30);
}

TEST_F(LocalOrders, AStatusTextCanBeLong) {
  start();
  post("/faults/refuse-create?status=UNAVAILABLE&times=1&text_bytes=5000");
  auto stream = open();
  EXPECT_EQ(stream->create_json(), "");
  EXPECT_EQ(stream->finish().error_message().size(), 5000u);
}

TEST_F(LocalOrders, ExpiredTokensOpenNothingAndEndStreamsWhenOrdered) {
  start_with_client();
  auto stranger = open({"Bearer made-up", kTable});
  EXPECT_EQ(stranger->finish().error_code(), StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(server_->admin("GET", "/api/2.1/unity-catalog/tables/main.iot.other"),
              HasSubstr("UNAUTHENTICATED"));
  EXPECT_THAT(post("/faults/expire-tokens?streams=true"), HasSubstr("\"ok\":true"));
  server_.reset();
  start();
  auto stream = open_json();
  EXPECT_THAT(post("/faults/expire-tokens"), HasSubstr("--client ID:SECRET"));
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  EXPECT_TRUE(stream->wait_for_ack(0));
}

TEST_F(LocalOrders, TheWorkspaceFailsAsOrderedAndAsOftenAsOrdered) {
  start();
  post("/faults/workspace?answer=429&call=token&retry_after=7&times=1");
  post("/faults/workspace?answer=garbage&call=token&times=1");
  post("/faults/workspace?answer=empty&call=token&times=1");
  post("/faults/workspace?answer=503&call=table");
  EXPECT_EQ(web("/oidc/v1/token").status, 429);
  EXPECT_THAT(web("/oidc/v1/token").body, HasSubstr("<html>"));
  EXPECT_THAT(web("/oidc/v1/token").body, HasSubstr("{}"));
  EXPECT_THAT(web("/oidc/v1/token").body, HasSubstr("access_token"));
  const auto port = static_cast<uint16_t>(server_->admin_port());
  const auto table = "/api/2.1/unity-catalog/tables/main.iot.other";
  EXPECT_EQ(test::http_get(port, table).status, 503);
  EXPECT_EQ(test::http_get(port, table).status, 503);
  post("/faults/clear");
  EXPECT_EQ(test::http_get(port, table).status, 200);
}

TEST_F(LocalOrders, AHangingWorkspaceDoesNotStopTheAdminPort) {
  start();
  post("/faults/workspace?answer=hang");
  std::thread waiting([port = static_cast<uint16_t>(server_->admin_port())] {
    (void)test::http_post(port, "/oidc/v1/token", "");  // until the server stops
  });
  EXPECT_EQ(test::http_get(static_cast<uint16_t>(server_->admin_port()), "/state").status, 200);
  server_.reset();
  waiting.join();
}

// --- ALTER TABLE, DROP TABLE

DescriptorProto row_type(const std::vector<std::string>& columns) {
  DescriptorProto row;
  row.set_name("Row");
  int number = 0;
  for (const auto& column : columns) {
    auto& field = *row.add_field();
    field.set_name(column);
    field.set_number(++number);
    field.set_label(column == "id" ? FieldDescriptorProto::LABEL_REQUIRED
                                   : FieldDescriptorProto::LABEL_OPTIONAL);
    field.set_type(column == "id" ? FieldDescriptorProto::TYPE_INT64
                                  : FieldDescriptorProto::TYPE_STRING);
  }
  return row;
}

TEST_F(LocalOrders, AnAddedColumnIsNullForOpenStreamsAndThereForNewOnes) {
  start();
  const std::string table = "main.iot.other";
  auto old = open({"Bearer t", table});
  ASSERT_NE(old->create_proto(row_type({"id"}), table), "");
  auto json = open_json(table);
  ASSERT_TRUE(old->send_proto(0, std::string("\x08\x01", 2)));
  ASSERT_TRUE(old->wait_for_ack(0));
  EXPECT_THAT(post("/tables/alter?table=main.iot.other&add=more&type=STRING"),
              HasSubstr("\"ok\":true"));
  EXPECT_THAT(server_->admin("GET", "/api/2.1/unity-catalog/tables/main.iot.other"),
              HasSubstr("\"name\":\"more\""));
  ASSERT_TRUE(old->send_proto(1, std::string("\x08\x02", 2)));
  EXPECT_TRUE(old->wait_for_ack(1));
  auto fresh = open({"Bearer t", table});
  ASSERT_NE(fresh->create_proto(row_type({"id", "more"}), table), "");
  ASSERT_TRUE(fresh->send_proto(0, std::string("\x08\x03\x12\x01x", 5)));
  EXPECT_TRUE(fresh->wait_for_ack(0));
  ASSERT_TRUE(json->send_json(0, R"({"id":4,"more":"y"})"));
  EXPECT_TRUE(json->wait_for_ack(0));
  ASSERT_TRUE(old->send_proto(2, std::string("\x08\x05", 2)));  // both forms in one lakehouse
  EXPECT_TRUE(old->wait_for_ack(2));
  EXPECT_THAT(Lakehouse(data()).query("SELECT id, more FROM \"main.iot.other\" ORDER BY id"),
              ElementsAre("1|NULL", "2|NULL", "3|x", "4|y", "5|NULL"));
}

TEST_F(LocalOrders, ADroppedColumnEndsTheStreamsThatHaveItAtTheirNextRequest) {
  start();
  const std::string table = "main.iot.other";
  post("/tables/alter?table=main.iot.other&add=more&type=STRING");
  auto with = open({"Bearer t", table});
  ASSERT_NE(with->create_proto(row_type({"id", "more"}), table), "");
  auto without = open({"Bearer t", table});
  ASSERT_NE(without->create_proto(row_type({"id"}), table), "");
  auto json = open_json(table);
  post("/tables/alter?table=main.iot.other&drop=more");
  ASSERT_TRUE(with->send_proto(0, std::string("\x08\x01", 2)));
  const auto status = with->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("column more was dropped"));
  ASSERT_TRUE(without->send_proto(0, std::string("\x08\x02", 2)));
  EXPECT_TRUE(without->wait_for_ack(0));
  ASSERT_TRUE(json->send_json(0, R"({"id":3})"));
  EXPECT_TRUE(json->wait_for_ack(0));
  ASSERT_TRUE(json->send_json(1, R"({"id":4,"more":"y"})"));
  EXPECT_EQ(json->finish().error_code(), StatusCode::INVALID_ARGUMENT);
  auto again = open({"Bearer t", table});
  EXPECT_EQ(again->create_proto(row_type({"id", "more"}), table), "");
  EXPECT_EQ(again->finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(LocalOrders, ADroppedTableIsNotFoundAlsoWhenAPatternAllowsIt) {
  start();
  auto stream = open_json("main.iot.line_1");
  ASSERT_TRUE(stream->send_json(0, R"({"id":1})"));
  ASSERT_TRUE(stream->wait_for_ack(0));
  post("/tables/drop?table=main.iot.line_1");
  ASSERT_TRUE(stream->send_json(1, R"({"id":2})"));
  EXPECT_EQ(stream->finish().error_code(), StatusCode::NOT_FOUND);
  auto again = open({"Bearer t", "main.iot.line_1"});
  EXPECT_EQ(again->create_json("main.iot.line_1"), "");
  EXPECT_EQ(again->finish().error_code(), StatusCode::NOT_FOUND);
}

// --- the connection

TEST_F(LocalOrders, AConnectionOfAgeGetsGoawayAndItsStreamsWorkOnUntilTheGraceIsOver) {
  auto with = options();
  with.connection_age = Millis(200);
  with.connection_grace = Millis(2'000);
  start(with);
  auto stream = open_json();
  int64_t offset = 0;
  ASSERT_TRUE(eventually([&] {  // the client turns away from the connection
    EXPECT_TRUE(stream->send_json(offset, row_json(offset)));
    EXPECT_TRUE(stream->wait_for_ack(offset));
    ++offset;
    return channel_->GetState(false) != GRPC_CHANNEL_READY;
  }));
  auto next = open_json();  // on a new connection
  ASSERT_TRUE(stream->send_json(offset, row_json(offset)));
  EXPECT_TRUE(stream->wait_for_ack(offset));
  EXPECT_EQ(stream->finish().error_code(), StatusCode::UNAVAILABLE);  // cut after the grace
}

TEST_F(LocalOrders, HeadersOverTheLimitAreRefused) {
  auto with = options();
  with.max_header_bytes = 2'048;
  start(with);
  auto small = open({"Bearer " + std::string(1'000, 't'), kTable});
  EXPECT_NE(small->create_json(), "");
  auto large = open({"Bearer " + std::string(4'000, 't'), kTable});
  EXPECT_EQ(large->create_json(), "");
  EXPECT_FALSE(large->finish().ok());
}

TEST_F(LocalOrders, StreamsOverTheConnectionsLimitWait) {
  auto with = options();
  with.max_streams = 1;
  start(with);
  auto first = open_json();
  std::atomic<bool> opened{false};
  std::thread later([&] {  // even the headers have to wait
    auto second = open();
    EXPECT_NE(second->create_json(), "");
    opened = true;
  });
  EXPECT_TRUE(first->send_json(0, row_json(0)));
  EXPECT_TRUE(first->wait_for_ack(0));
  EXPECT_FALSE(opened);
  first->half_close();
  EXPECT_TRUE(first->finish().ok());
  later.join();
}

TEST_F(LocalOrders, AServerThatStopsGivesNoticeFirst) {
  auto with = options();
  with.shutdown_grace = Millis(30'000);
  start(with);
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  std::thread stopping([&] { server_->stop(); });
  zb::EphemeralStreamResponse response;
  ASSERT_TRUE(stream->read(response));
  EXPECT_TRUE(response.has_close_stream_signal());
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  stopping.join();  // and does not wait any longer
}

TEST_F(LocalOrders, UnknownMethodsAreUnimplemented) {
  start();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience);
  google::protobuf::DescriptorProto any;
  const grpc::internal::RpcMethod method("/databricks.zerobus.Zerobus/Nothing",
                                         grpc::internal::RpcMethod::NORMAL_RPC);
  const auto status =
      grpc::internal::BlockingUnaryCall(channel_.get(), method, &context, any, &any);
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
}

TEST_F(LocalOrders, WrongOrdersAreRefusedWithTheReason) {
  start();
  const std::pair<const char*, const char*> cases[] = {
      {"/faults/rotate", "argument 'every_ms' is missing"},
      {"/faults/say?hex=1", "argument 'hex'"},
      {"/faults/say?hex=zz", "argument 'hex'"},
      {"/faults/workspace", "argument 'answer' is missing"},
      {"/faults/workspace?answer=200", "argument 'answer' must be"},
      {"/faults/workspace?answer=500&call=x", "argument 'call' must be"},
      {"/tables/alter?table=main.iot.other", "either 'add' and 'type', or 'drop'"},
      {"/tables/alter?table=main.iot.other&add=x", "argument 'type' is missing"},
      {"/tables/alter?table=main.iot.other&add=x&type=NOPE", "NOPE"},
      {"/tables/alter?table=main.iot.other&add=ID&type=INT", "already"},
      {"/tables/alter?table=main.iot.other&add=_offset&type=INT", "cannot be a column's name"},
      {"/tables/alter?table=main.iot.other&drop=nope", "no column nope"},
      {"/tables/alter?table=main.iot.other&drop=id", "at least one column"},
      {"/tables/alter?table=main.iot.none&drop=id", "no table"},
      {"/tables/drop?table=main.iot.none", "no table"},
  };
  for (const auto& [target, reason] : cases) {
    EXPECT_THAT(post(target), HasSubstr(reason)) << target;
  }
  auto both = options();
  both.token = "t";
  both.client = "a:b";
  both.data_dir += "2";
  EXPECT_FALSE(Server::start(both, Log::none()));
  both.token.clear();
  both.client = "a";
  EXPECT_FALSE(Server::start(both, Log::none()));
}

}  // namespace
}  // namespace penstock::local::testing
