// Bytes on the wire: exact examples, and agreement with protobuf's own parser and writer.
#include <random>

#include "zerobus.pb.h"
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "agent/zerobus/wire.h"

namespace penstock::zerobus {
namespace {

namespace pb = databricks::zerobus;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

TEST(ZerobusWire, CreateRequestHasTheDocumentedBytes) {
  EXPECT_EQ(create_request("c.s.t", Encoding::kJson, "ignored"),
            bytes({0x0A, 0x09, 0x0A, 0x05, 'c', '.', 's', '.', 't', 0x20, 0x02}));
}

TEST(ZerobusWire, BatchOfTwoHasTheDocumentedBytesAndOffsetZeroIsSent) {
  std::string body;
  append_row("{}", body);
  append_row("{}", body);
  EXPECT_EQ(
      batch_header(1, Encoding::kJson, body.size()) + body,
      bytes({0x1A, 0x0C, 0x08, 0x01, 0x1A, 0x08, 0x0A, 0x02, 0x7B, 0x7D, 0x0A, 0x02, 0x7B, 0x7D}));
  EXPECT_EQ(batch_header(0, Encoding::kProto, 0), bytes({0x1A, 0x04, 0x08, 0x00, 0x12, 0x00}));
}

TEST(ZerobusWire, ResponsesHaveTheDocumentedBytes) {
  EXPECT_EQ(std::get<Ack>(*parse_response(bytes({0x12, 0x02, 0x08, 0x01}))).up_to, 1);
  EXPECT_EQ(std::get<Ack>(*parse_response(bytes({0x12, 0x02, 0x08, 0x00}))).up_to, 0);
  EXPECT_EQ(
      std::get<CloseSignal>(*parse_response(bytes({0x1A, 0x04, 0x0A, 0x02, 0x08, 0x1E}))).grace,
      Millis(30'000));
  EXPECT_EQ(
      std::get<StreamCreated>(*parse_response(bytes({0x0A, 0x03, 0x0A, 0x01, 'a'}))).stream_id,
      "a");
}

TEST(ZerobusWire, ProtobufReadsTheCreateRequest) {
  pb::EphemeralStreamRequest request;
  ASSERT_TRUE(request.ParseFromString(create_request("main.iot.t", Encoding::kProto, "\n\x01t")));
  EXPECT_EQ(request.create_stream().table_name(), "main.iot.t");
  EXPECT_EQ(request.create_stream().record_type(), pb::PROTO);
  EXPECT_EQ(request.create_stream().descriptor_proto(), "\n\x01t");
  ASSERT_TRUE(request.ParseFromString(create_request("main.iot.t", Encoding::kJson, "x")));
  EXPECT_EQ(request.create_stream().record_type(), pb::JSON);
  EXPECT_FALSE(request.create_stream().has_descriptor_proto());
}

// Sizes around every length of varint, for the rows, the body and the offset.
TEST(ZerobusWire, ProtobufReadsBatchesOfAnySize) {
  for (const size_t row_bytes : {0, 1, 127, 128, 16'383, 16'384, 300'000}) {
    for (const int64_t offset : {int64_t{0}, int64_t{127}, int64_t{128}, INT64_MAX}) {
      for (const Encoding encoding : {Encoding::kProto, Encoding::kJson}) {
        const std::string row(row_bytes, 'r');
        std::string body;
        for (int i = 0; i < 3; ++i) append_row(row, body);
        ASSERT_EQ(body.size(), 3 * row_size(row_bytes));
        const std::string header = batch_header(offset, encoding, body.size());
        ASSERT_LE(header.size(), 24u);
        pb::EphemeralStreamRequest request;
        ASSERT_TRUE(request.ParseFromString(header + body));
        const auto& batch = request.ingest_record_batch();
        ASSERT_TRUE(batch.has_offset_id());
        EXPECT_EQ(batch.offset_id(), offset);
        const auto& rows = encoding == Encoding::kProto ? batch.proto_encoded_batch().records()
                                                        : batch.json_batch().records();
        ASSERT_EQ(rows.size(), 3);
        EXPECT_EQ(rows[2], row);
      }
    }
  }
}

TEST(ZerobusWire, UnknownFieldsAndMembersAreSkipped) {
  // Ack 7 with unknown fields of every wire type, inside and outside.
  const std::string ack =
      bytes({0x12, 0x14, 0x50, 0x05, 0x08, 0x07, 0x59, 1,    2,    3,    4,    5,   6,    7,   8,
             0x65, 1,    2,    3,    4,    0x6A, 0x00, 0x70, 0x01, 0x7A, 0x01, 'x', 0x20, 0x01});
  const auto response = parse_response(ack);
  ASSERT_TRUE(response) << response.error().what;
  EXPECT_EQ(std::get<Ack>(*response).up_to, 7);
  EXPECT_TRUE(std::holds_alternative<UnknownResponse>(*parse_response("")));
  EXPECT_TRUE(std::holds_alternative<UnknownResponse>(*parse_response(bytes({0x2A, 0x01, 'x'}))));
}

TEST(ZerobusWire, AMissingFieldIsAnErrorNotAZero) {
  for (const auto& message :
       {bytes({0x12, 0x00}), bytes({0x0A, 0x00}), bytes({0x12, 0x02, 0x10, 0x05})}) {
    const auto response = parse_response(message);
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().kind, ErrorKind::kTransient);
    EXPECT_NE(response.error().what.find("without"), std::string::npos) << response.error().what;
  }
}

TEST(ZerobusWire, ACloseSignalWithoutOrWithOddDurationMeansNowOrSafelyLater) {
  const auto grace = [](int64_t seconds, int32_t nanos) {
    pb::EphemeralStreamResponse response;
    auto* duration = response.mutable_close_stream_signal()->mutable_duration();
    duration->set_seconds(seconds);
    duration->set_nanos(nanos);
    return std::get<CloseSignal>(*parse_response(response.SerializeAsString())).grace;
  };
  EXPECT_EQ(std::get<CloseSignal>(*parse_response(bytes({0x1A, 0x00}))).grace, Millis(0));
  EXPECT_EQ(grace(2, 500'000'000), Millis(2500));
  EXPECT_EQ(grace(-3, 999'999'999), Millis(0));
  EXPECT_EQ(grace(1, -500'000'000), Millis(1000));
  EXPECT_GT(grace(INT64_MAX, INT32_MAX), Millis(0));  // no overflow
  EXPECT_EQ(grace(INT64_MIN, INT32_MIN), Millis(0));
}

TEST(ZerobusWire, EveryPrefixOfAMessageIsReadAsProtobufReadsIt) {
  pb::EphemeralStreamResponse message;
  message.mutable_ingest_record_response()->set_durability_ack_up_to_offset(123'456'789'012);
  const std::string whole = message.SerializeAsString();
  for (size_t size = 1; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_response(whole.substr(0, size))) << size;
  }
  EXPECT_TRUE(parse_response(whole));
}

// Random mutations of real messages: wherever both parsers see a message, they see the same one.
TEST(ZerobusWire, AgreesWithProtobufOnDamagedMessages) {
  const google::protobuf::LogSilencer quiet;
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  int agreed = 0;
  for (int round = 0; round < 200'000; ++round) {
    pb::EphemeralStreamResponse origin;
    switch (random() % 3) {
      case 0:
        origin.mutable_create_stream_response()->set_stream_id("stream-1");
        break;
      case 1:
        origin.mutable_ingest_record_response()->set_durability_ack_up_to_offset(
            static_cast<int64_t>(random() % 1000));
        break;
      default:
        origin.mutable_close_stream_signal()->mutable_duration()->set_seconds(random() % 100);
    }
    std::string text = origin.SerializeAsString();
    if (random() % 4 == 0) text += origin.SerializeAsString();
    for (unsigned i = random() % 3; i > 0; --i)
      text[random() % text.size()] = static_cast<char>(random());
    const auto ours = parse_response(text);
    pb::EphemeralStreamResponse theirs;
    if (!ours || !theirs.ParsePartialFromString(text)) continue;
    ++agreed;
    if (const auto* ack = std::get_if<Ack>(&*ours)) {
      ASSERT_EQ(ack->up_to, theirs.ingest_record_response().durability_ack_up_to_offset());
    } else if (const auto* created = std::get_if<StreamCreated>(&*ours)) {
      ASSERT_EQ(created->stream_id, theirs.create_stream_response().stream_id());
    } else if (std::holds_alternative<UnknownResponse>(*ours)) {
      ASSERT_EQ(theirs.payload_case(), pb::EphemeralStreamResponse::PAYLOAD_NOT_SET);
    }
  }
  EXPECT_GT(agreed, 1000);
}

}  // namespace
}  // namespace penstock::zerobus
