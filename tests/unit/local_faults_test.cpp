// Faults ordered through the admin side, seen by a real gRPC client.
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/zerobus_local/test_client.h"

namespace penstock::local::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;
using LocalFaults = ServerTest;

TEST_F(LocalFaults, DropEndsTheStreamAfterNMoreRecordsWithoutTheirAcks) {
  start();
  post("/faults/no-acks");  // so that no acknowledgement is under way when the stream drops
  post("/faults/drop?status=UNAVAILABLE&after=5");
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json_batch(0, {row_json(0), row_json(1), row_json(2)}));
  ASSERT_TRUE(stream->send_json(1, row_json(3)));
  ASSERT_TRUE(stream->send_json(2, row_json(4)));  // the fifth
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(stream->acked(), -1);
  // Received means stored: a client that sends again makes duplicates, as with a lost connection.
  Lakehouse lakehouse(data());
  EXPECT_TRUE(eventually([&] { return lakehouse.count(kTable) == 5; }));
  post("/faults/clear");
  auto next = open_json();  // once is once
  for (int64_t i = 0; i < 20; ++i) ASSERT_TRUE(next->send_json(i, row_json(i)));
  EXPECT_TRUE(next->wait_for_ack(19));
}

TEST_F(LocalFaults, DropCountsOnlyItsTableAndRepeats) {
  start();
  post("/faults/drop?status=OK&after=2&table=main.iot.other&times=2");
  auto unaffected = open_json();
  for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(unaffected->send_json(i, row_json(i)));
  ASSERT_TRUE(unaffected->wait_for_ack(9));
  for (int round = 0; round < 2; ++round) {
    auto stream = open_json("main.iot.other");
    ASSERT_TRUE(stream->send_json(0, R"({"id":1})"));
    ASSERT_TRUE(stream->send_json(1, R"({"id":2})"));
    EXPECT_TRUE(stream->finish().ok());  // status OK without half-close: the server hung up
  }
  auto third = open_json("main.iot.other");
  for (int64_t i = 0; i < 10; ++i) ASSERT_TRUE(third->send_json(i, R"({"id":3})"));
  EXPECT_TRUE(third->wait_for_ack(9));
}

TEST_F(LocalFaults, DropWithoutAfterEndsOpenStreamsAtOnce) {
  start();
  auto stream = open_json();
  auto other = open_json("main.iot.other");
  post("/faults/drop?status=INTERNAL&table=main.iot.tele*");
  EXPECT_EQ(stream->finish().error_code(), StatusCode::INTERNAL);
  ASSERT_TRUE(other->send_json(0, R"({"id":1})"));
  EXPECT_TRUE(other->wait_for_ack(0));
}

TEST_F(LocalFaults, RejectByTextRefusesEverySuchRecordUntilCleared) {
  start();
  post("/faults/reject?match=%22note%22%3A%22n3%22&table=main.iot.telemetry");
  for (int round = 0; round < 2; ++round) {
    auto stream = open_json();
    ASSERT_TRUE(stream->send_json(0, row_json(1)));
    ASSERT_TRUE(stream->send_json_batch(1, {row_json(2), row_json(3)}));
    const auto status = stream->finish();
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("record 1 of the batch"));
    EXPECT_EQ(stream->acked(), 0);
  }
  EXPECT_EQ(Lakehouse(data()).count(kTable), 2);  // offset 0 of both rounds
  post("/faults/clear");
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(3)));
  EXPECT_TRUE(stream->wait_for_ack(0));
}

TEST_F(LocalFaults, RejectByNumberRefusesThatRecordOnce) {
  start();
  post("/faults/reject?record=3&table=main.iot.telemetry");
  auto stream = open_json();
  for (int64_t i = 0; i < 3; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  const auto status = stream->finish();
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("offset 2"));
  EXPECT_EQ(stream->acked(), 1);
  stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(2)));
  EXPECT_TRUE(stream->wait_for_ack(0));
}

TEST_F(LocalFaults, NoAcksStoresInSilenceAndCatchesUpWhenLifted) {
  start();
  post("/faults/no-acks?on=true");
  auto stream = open_json();
  for (int64_t i = 0; i < 5; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  Lakehouse lakehouse(data());
  ASSERT_TRUE(eventually([&] { return lakehouse.count(kTable) == 5; }));
  EXPECT_THAT(state(), HasSubstr("\"received\":5,\"acked\":0"));
  post("/faults/no-acks?on=false");
  EXPECT_TRUE(stream->wait_for_ack(4));
  post("/faults/no-acks?on=true");
  ASSERT_TRUE(stream->send_json(5, row_json(5)));
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());  // ends, still without the acknowledgement
  EXPECT_EQ(stream->acked(), 4);
  EXPECT_EQ(lakehouse.count(kTable), 6);
}

TEST_F(LocalFaults, SlowAcksComeNoEarlierThanOrderedAndNoneIsLost) {
  start();
  post("/faults/slow-acks?ms=300");
  auto stream = open_json();
  const auto sent = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < 20; ++i) ASSERT_TRUE(stream->send_json(i, row_json(i)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  EXPECT_GE(std::chrono::steady_clock::now() - sent, Millis(300));
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  EXPECT_EQ(stream->acked(), 19);
}

TEST_F(LocalFaults, RefuseCreateEndsStreamsAtTheDoor) {
  start();
  post("/faults/refuse-create?status=RESOURCE_EXHAUSTED&table=main.iot.other&times=2");
  for (int i = 0; i < 2; ++i) {
    auto stream = open({"Bearer t", "main.iot.other"});
    EXPECT_EQ(stream->create_json("main.iot.other"), "");
    EXPECT_EQ(stream->finish().error_code(), StatusCode::RESOURCE_EXHAUSTED);
  }
  open_json();  // another table is not affected
  open_json("main.iot.other");
  post("/faults/refuse-create?status=UNAUTHENTICATED");
  for (int i = 0; i < 3; ++i) {
    auto stream = open();
    EXPECT_EQ(stream->create_json(), "");
    EXPECT_EQ(stream->finish().error_code(), StatusCode::UNAUTHENTICATED);
  }
  post("/faults/clear");
  open_json();
}

TEST_F(LocalFaults, CloseSignalIsSentThenWorkGoesOnUntilTheStreamEndsOk) {
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  ASSERT_TRUE(stream->wait_for_ack(0));
  post("/faults/close-signal?seconds=2");
  zb::EphemeralStreamResponse response;
  ASSERT_TRUE(stream->read(response));
  ASSERT_TRUE(response.has_close_stream_signal());
  EXPECT_EQ(response.close_stream_signal().duration().seconds(), 2);
  EXPECT_EQ(response.close_stream_signal().duration().nanos(), 0);
  ASSERT_TRUE(stream->send_json(1, row_json(1)));  // a client may have one under way
  EXPECT_TRUE(stream->wait_for_ack(1));
  EXPECT_TRUE(stream->finish().ok());  // without half-close: the deadline ends it
  auto next = open_json();             // only streams open at that time were told
  next->half_close();
  EXPECT_TRUE(next->finish().ok());
}

TEST_F(LocalFaults, AClientThatObeysTheCloseSignalEndsBeforeTheDeadline) {
  start();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json(0, row_json(0)));
  post("/faults/close-signal?seconds=3600");
  stream->half_close();
  EXPECT_TRUE(stream->finish().ok());
  EXPECT_EQ(stream->acked(), 0);
}

TEST_F(LocalFaults, WrongOrdersAreRefusedWithTheReason) {
  start();
  const std::pair<const char*, const char*> cases[] = {
      {"/faults/drop", "argument 'status'"},
      {"/faults/drop?status=NOPE", "argument 'status'"},
      {"/faults/drop?status=OK&after=-1", "argument 'after'"},
      {"/faults/drop?status=OK&after=1x", "argument 'after'"},
      {"/faults/drop?status=OK&times=2", "'times' needs 'after'"},
      {"/faults/drop?status=OK&after=1&tabel=x", "unknown argument 'tabel'; known here: status"},
      {"/faults/reject", "either 'match' or 'record'"},
      {"/faults/reject?match=a&record=1", "either 'match' or 'record'"},
      {"/faults/reject?match=", "must not be empty"},
      {"/faults/reject?record=0", "argument 'record'"},
      {"/faults/no-acks?on=yes", "true or false"},
      {"/faults/slow-acks", "argument 'ms' is missing"},
      {"/faults/refuse-create?status=OK", "must not be OK"},
      {"/faults/close-signal?seconds=soon", "argument 'seconds'"},
      {"/faults/clear?x=1", "unknown argument 'x'"},
      {"/faults/nothing", "no such call"},
      {"/state", "wrong method"},
  };
  for (const auto& [target, reason] : cases) {
    EXPECT_THAT(post(target), HasSubstr(reason)) << target;
    EXPECT_THAT(post(target), HasSubstr("{\"error\":")) << target;
  }
  EXPECT_THAT(state(), HasSubstr("\"faults\":[]"));
}

// One HTTP exchange, as curl does it.
std::pair<int, std::string> http_call(const std::string& host, int port,
                                      boost::beast::http::verb verb, const std::string& target) {
  namespace beast = boost::beast;
  boost::asio::io_context io;
  beast::tcp_stream stream(io);
  stream.connect(boost::asio::ip::tcp::endpoint(boost::asio::ip::make_address(host),
                                                static_cast<uint16_t>(port)));
  beast::http::request<beast::http::string_body> request(verb, target, 11);
  request.set(beast::http::field::host, host);
  request.prepare_payload();
  beast::http::write(stream, request);
  beast::flat_buffer buffer;
  beast::http::response<beast::http::string_body> response;
  beast::http::read(stream, buffer, response);
  return {static_cast<int>(response.result_int()), response.body()};
}

TEST_F(LocalFaults, TheAdminPortSpeaksHttp) {
  using boost::beast::http::verb;
  start();
  const int port = server_->admin_port();
  auto stream = open_json();
  ASSERT_TRUE(stream->send_json_batch(0, {row_json(0), row_json(1)}));
  ASSERT_TRUE(stream->wait_for_ack(0));
  auto [code, body] = http_call("127.0.0.1", port, verb::get, "/state");
  EXPECT_EQ(code, 200);
  for (const char* part :
       {"\"table\":\"main.iot.telemetry\",\"record_type\":\"JSON\"",
        "\"received\":1,\"acked\":1,\"records\":2,\"ending\":false",
        "\"main.iot.telemetry\":{\"rows\":2,\"streams\":1,\"received_records\":2", "\"faults\":[]",
        "\"store\":\"sqlite\""}) {
    EXPECT_THAT(body, HasSubstr(part));
  }
  std::tie(code, body) = http_call("127.0.0.1", port, verb::post, "/faults/no-acks?on=true");
  EXPECT_EQ(code, 200);
  EXPECT_THAT(body, HasSubstr("{\"fault\":\"no-acks\"}"));
  EXPECT_EQ(http_call("127.0.0.1", port, verb::get, "/nope").first, 404);
  EXPECT_EQ(http_call("127.0.0.1", port, verb::get, "/faults/clear").first, 405);
  EXPECT_EQ(http_call("127.0.0.1", port, verb::post, "/faults/drop").first, 400);
}

TEST_F(LocalFaults, TheWorkspaceCallsOfAClientWorkOnTheAdminPort) {
  auto with_token = options();
  with_token.token = "secret";
  start(with_token);
  EXPECT_THAT(post("/oidc/v1/token"), HasSubstr("\"access_token\":\"secret\""));
  EXPECT_THAT(server_->admin("GET", "/api/2.1/unity-catalog/tables/main%2Eiot.telemetry"),
              HasSubstr("\"type_text\":\"timestamp\""));
  EXPECT_THAT(server_->admin("GET", "/api/2.1/unity-catalog/tables/main.iot.none"),
              HasSubstr("TABLE_DOES_NOT_EXIST"));
}

}  // namespace
}  // namespace penstock::local::testing
