// The pure rules of a stream: acknowledgement schedule, request intake, metadata, ordered faults,
// admin targets.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/zerobus_local/ack_schedule.h"
#include "tests/zerobus_local/admin_routes.h"
#include "tests/zerobus_local/faults.h"
#include "tests/zerobus_local/intake.h"
#include "tests/zerobus_local/service.h"

namespace penstock::local {
namespace {

namespace zb = databricks::zerobus;
using grpc::StatusCode;
using ::testing::HasSubstr;

const MonoTime kStart{std::chrono::hours(1)};

TEST(AckSchedule, CountOrTimerWhicheverComesFirst) {
  AckRules rules;
  rules.every = 10;
  rules.interval = Millis(5);
  AckSchedule acks;
  EXPECT_EQ(acks.next(rules), std::nullopt);
  acks.durable(8, kStart);  // nine requests: one short
  EXPECT_EQ(acks.take_due(kStart, rules, false), std::nullopt);
  EXPECT_EQ(acks.next(rules), kStart + Millis(5));
  acks.durable(9, kStart + Millis(1));
  EXPECT_EQ(acks.take_due(kStart + Millis(1), rules, false), 9);
  EXPECT_TRUE(acks.idle());
  acks.durable(10, kStart + Millis(2));  // a tail of one
  EXPECT_EQ(acks.take_due(kStart + Millis(6), rules, false), std::nullopt);
  EXPECT_EQ(acks.take_due(kStart + Millis(7), rules, false), 10);
}

TEST(AckSchedule, TheLastAckWaitsForNothingButAnOrderedFault) {
  AckRules rules;
  AckSchedule acks;
  acks.durable(0, kStart);
  EXPECT_EQ(acks.take_due(kStart, rules, true), 0);
  acks.durable(1, kStart);
  rules.slow = Millis(250);
  EXPECT_EQ(acks.take_due(kStart + Millis(249), rules, true), std::nullopt);
  EXPECT_EQ(acks.next(rules), kStart + Millis(250));
  acks.durable(2, kStart + Millis(100));
  EXPECT_EQ(acks.take_due(kStart + Millis(250), rules, true), 1);  // 2 is not old enough
  rules.hold = true;
  EXPECT_EQ(acks.take_due(kStart + Millis(999), rules, true), std::nullopt);
  EXPECT_EQ(acks.next(rules), std::nullopt);
  rules.hold = false;
  EXPECT_EQ(acks.take_due(kStart + Millis(999), rules, true), 2);
}

TEST(AckSchedule, AcksRiseStrictlyAndNeverPassWhatIsDurable) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  AckSchedule acks;
  AckRules rules;
  MonoTime now = kStart;
  int64_t durable = -1;
  int64_t acked = -1;
  for (int i = 0; i < 20'000; ++i) {
    now += Millis(random() % 4);
    if (random() % 2 == 0) acks.durable(durable += 1 + random() % 50, now);
    if (random() % 100 == 0) rules.hold = !rules.hold;
    if (random() % 100 == 0) rules.slow = Millis(random() % 3 * 10);
    rules.every = 1 + random() % 100;
    const auto ack = acks.take_due(now, rules, random() % 50 == 0);
    if (!ack) continue;
    ASSERT_FALSE(rules.hold);
    ASSERT_GT(*ack, acked);
    ASSERT_LE(*ack, durable);
    acked = *ack;
  }
  now += Millis(1000);
  rules.hold = false;
  if (acked < durable) {
    EXPECT_EQ(acks.take_due(now, rules, false), durable);
  }
}

TEST(AckSchedule, HoldingAcksForHoursDoesNotGrowMemoryNorLoseTheLastOffset) {
  AckSchedule acks;
  for (int64_t i = 0; i < 100'000; ++i) acks.durable(i, kStart);
  AckRules slow;
  slow.slow = Millis(1);
  EXPECT_EQ(acks.take_due(kStart + Millis(1), slow, false), 99'999);
}

TEST(Metadata, BearerAndTableAreRequired) {
  const auto code = [](std::string_view authorization, std::string_view table,
                       std::string_view token) {
    return check_metadata(authorization, table, Tokens({std::string(token), {}, {}}), kStart)
        .error_code();
  };
  EXPECT_EQ(code("Bearer x", "a.b.c", ""), StatusCode::OK);
  EXPECT_EQ(code("bearer  x", "a.b.c", "x"), StatusCode::OK);
  EXPECT_EQ(code("", "a.b.c", ""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Bearer", "a.b.c", ""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Bearer  ", "a.b.c", ""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Basic x", "a.b.c", ""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Bearer y", "a.b.c", "x"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code("Bearer x", "", ""), StatusCode::INVALID_ARGUMENT);
}

class IntakeTest : public ::testing::Test {
 protected:
  Intake make(bool raw = false) {
    return Intake(
        "a.b.t", [this](std::string_view name) { return name == "a.b.t" ? table_ : nullptr; },
        [this](const Table&, std::string_view) { return veto_; }, raw);
  }
  static zb::EphemeralStreamRequest create(const char* table) {
    zb::EphemeralStreamRequest request;
    request.mutable_create_stream()->set_table_name(table);
    request.mutable_create_stream()->set_record_type(zb::JSON);
    return request;
  }
  static zb::EphemeralStreamRequest batch(int64_t offset, const std::vector<std::string>& records) {
    zb::EphemeralStreamRequest request;
    request.mutable_ingest_record_batch()->set_offset_id(offset);
    auto& json = *request.mutable_ingest_record_batch()->mutable_json_batch();
    for (const auto& record : records) json.add_records(record);
    return request;
  }
  static std::string text(const grpc::Status& status) {
    return status.ok() ? "ok" : std::to_string(status.error_code()) + " " + status.error_message();
  }

  TablePtr table_ =
      std::make_shared<Table>("a.b.t", std::vector<Column>{{"id", *parse_type("BIGINT"), false}});
  std::optional<std::string> veto_;
};

TEST_F(IntakeTest, OpeningIsCheckedInEveryPart) {
  EXPECT_THAT(text(make().open(batch(0, {"{}"}))), HasSubstr("3 the first message"));
  EXPECT_THAT(text(make().open(create("a.b.x"))), HasSubstr("3 create_stream names table 'a.b.x'"));
  auto request = create("a.b.t");
  request.mutable_create_stream()->set_record_type(zb::RECORD_TYPE_UNSPECIFIED);
  EXPECT_THAT(text(make().open(request)), HasSubstr("3 record_type"));
  request = create("a.b.t");
  request.mutable_create_stream()->clear_record_type();  // PROTO, which needs a descriptor
  EXPECT_THAT(text(make().open(request)), HasSubstr("descriptor_proto is missing"));
  // A record type of a later protocol version must not be mistaken for "absent".
  ASSERT_TRUE(
      request.ParseFromString(std::string("\x0A\x09\x0A\x05"
                                          "a.b.t"
                                          "\x20\x04",
                                          11)));
  EXPECT_THAT(text(make().open(request)), HasSubstr("3 record_type"));
  Intake other(
      "a.b.none", [](std::string_view) { return nullptr; }, {}, false);
  EXPECT_THAT(text(other.open(create("a.b.none"))), HasSubstr("5 table a.b.none does not exist"));
  auto good = make();
  EXPECT_EQ(text(good.open(create("a.b.t"))), "ok");
  EXPECT_TRUE(good.opened());
}

TEST_F(IntakeTest, OffsetsCountRequestsFromZeroWithoutGaps) {
  auto intake = make();
  ASSERT_TRUE(intake.open(create("a.b.t")).ok());
  Intake::Taken taken;
  EXPECT_THAT(text(intake.take(batch(1, {R"({"id":1})"}), taken)), HasSubstr("expected 0, got 1"));
  EXPECT_EQ(text(intake.take(batch(0, {R"({"id":1})", R"({"id":2})"}), taken)), "ok");
  EXPECT_EQ(taken.rows.count, 2U);
  EXPECT_THAT(text(intake.take(batch(0, {R"({"id":1})"}), taken)), HasSubstr("expected 1, got 0"));
  EXPECT_THAT(text(intake.take(batch(-1, {R"({"id":1})"}), taken)), HasSubstr("got -1"));
  auto none = batch(1, {R"({"id":1})"});
  none.mutable_ingest_record_batch()->clear_offset_id();
  EXPECT_THAT(text(intake.take(none, taken)), HasSubstr("expected 1, got none"));
  EXPECT_EQ(text(intake.take(batch(1, {R"({"id":1})"}), taken)), "ok");
}

TEST_F(IntakeTest, RequestsOfTheWrongShapeAreRefused) {
  auto intake = make();
  ASSERT_TRUE(intake.open(create("a.b.t")).ok());
  Intake::Taken taken;
  EXPECT_THAT(text(intake.take(create("a.b.t"), taken)), HasSubstr("only once"));
  EXPECT_THAT(text(intake.take({}, taken)), HasSubstr("neither"));
  EXPECT_THAT(text(intake.take(batch(0, {}), taken)), HasSubstr("at least one record"));
  auto other = batch(0, {});
  other.mutable_ingest_record_batch()->mutable_proto_encoded_batch()->add_records("x");
  EXPECT_THAT(text(intake.take(other, taken)), HasSubstr("records are not JSON"));
  other.mutable_ingest_record_batch()->clear_batch();
  EXPECT_THAT(text(intake.take(other, taken)), HasSubstr("records are not JSON"));
  zb::EphemeralStreamRequest proto;
  proto.mutable_ingest_record()->set_offset_id(0);
  proto.mutable_ingest_record()->set_proto_encoded_record("x");
  EXPECT_THAT(text(intake.take(proto, taken)), HasSubstr("records are not JSON"));
  proto.mutable_ingest_record()->clear_record();
  EXPECT_THAT(text(intake.take(proto, taken)), HasSubstr("records are not JSON"));
}

TEST_F(IntakeTest, TheRefusalNamesTableRecordColumnAndReason) {
  auto intake = make();
  ASSERT_TRUE(intake.open(create("a.b.t")).ok());
  Intake::Taken taken;
  const auto status = intake.take(batch(0, {R"({"id":1})", R"({"id":"x"})"}), taken);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  for (const char* part :
       {"table a.b.t", "record 1 of the batch", "offset 0", "column id", "BIGINT"}) {
    EXPECT_THAT(status.error_message(), HasSubstr(part));
  }
  veto_ = "because";
  EXPECT_THAT(text(intake.take(batch(0, {R"({"id":1})"}), taken)), HasSubstr("because"));
}

TEST_F(IntakeTest, RawRecordsAreCheckedAndFramedAsABatchBody) {
  auto intake = make(true);
  ASSERT_TRUE(intake.open(create("a.b.t")).ok());
  Intake::Taken taken;
  ASSERT_EQ(text(intake.take(batch(0, {R"({"id":1})", R"({"id":2})"}), taken)), "ok");
  EXPECT_TRUE(taken.rows.cells.empty());
  zb::JsonRecordBatch body;
  ASSERT_TRUE(body.ParseFromString(taken.raw));
  ASSERT_EQ(body.records_size(), 2);
  EXPECT_EQ(body.records(1), R"({"id":2})");
  Intake::Taken bad;
  EXPECT_THAT(text(intake.take(batch(1, {R"({"id":1})", "{}"}), bad)),
              HasSubstr("column id: missing"));
}

TEST_F(IntakeTest, TenMebibytesIsTheLimitOfAMessage) {
  EXPECT_TRUE(Intake::check_size(10'485'760).ok());
  const auto status = Intake::check_size(10'485'761);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("size"));
}

TEST(Faults, DropsCountRecordsOfMatchingTablesAndRearm) {
  Faults faults;
  EXPECT_EQ(faults.on_received("a.b.t", 5).has_value(), false);
  faults.add_drop(StatusCode::INTERNAL, 10, "a.b.*", 2);
  EXPECT_FALSE(faults.on_received("x.b.t", 100));
  EXPECT_FALSE(faults.on_received("a.b.t", 9));
  EXPECT_EQ(faults.on_received("a.b.u", 5)->error_code(), StatusCode::INTERNAL);
  EXPECT_FALSE(faults.on_received("a.b.t", 9));
  EXPECT_TRUE(faults.on_received("a.b.t", 1));
  EXPECT_FALSE(faults.on_received("a.b.t", 100));
  EXPECT_EQ(faults.to_json(), "[]");
}

TEST(Faults, RejectionsMatchBytesOrCountRecords) {
  Faults faults;
  faults.add_reject_match("poison", "");
  faults.add_reject_record(2, "a.b.t");
  EXPECT_FALSE(faults.on_record("a.b.u", "fine"));
  EXPECT_TRUE(faults.on_record("a.b.u", "some poison here"));
  EXPECT_TRUE(faults.on_record("a.b.u", "poison"));  // for as long as it is ordered
  EXPECT_FALSE(faults.on_record("a.b.t", "first"));
  EXPECT_TRUE(faults.on_record("a.b.t", "second"));
  EXPECT_FALSE(faults.on_record("a.b.t", "second again"));
  faults.clear();
  EXPECT_FALSE(faults.on_record("a.b.t", "poison"));
}

TEST(Faults, RefusedCreatesAreCountedOrLastUntilCleared) {
  Faults faults;
  faults.add_refuse_create(StatusCode::RESOURCE_EXHAUSTED, "a.b.t", 2);
  EXPECT_FALSE(faults.on_create("a.b.u"));
  EXPECT_EQ(faults.on_create("a.b.t")->error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(faults.on_create("a.b.t"));
  EXPECT_FALSE(faults.on_create("a.b.t"));
  faults.add_refuse_create(StatusCode::NOT_FOUND, "", 0);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(faults.on_create("a.b.t"));
  faults.clear();
  EXPECT_FALSE(faults.on_create("a.b.t"));
}

TEST(Faults, StatusNamesAndNumbersAreBothUnderstood) {
  EXPECT_EQ(parse_status("UNAVAILABLE"), StatusCode::UNAVAILABLE);
  EXPECT_EQ(parse_status("14"), StatusCode::UNAVAILABLE);
  EXPECT_EQ(parse_status("UNAUTHENTICATED"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(parse_status("OK"), StatusCode::OK);
  EXPECT_EQ(parse_status("unavailable"), std::nullopt);
  for (int i = 0; i <= 16; ++i) {
    const auto code = static_cast<StatusCode>(i);
    EXPECT_EQ(parse_status(status_name(code)), code);
  }
}

TEST(AdminTarget, IsSplitAndDecoded) {
  const auto target = split_target("/faults/reject?match=a%22b+c%26&table=x.*&empty=&flag&bad=%4");
  EXPECT_EQ(target.path, "/faults/reject");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"match", "a\"b c&"}, {"table", "x.*"}, {"empty", ""}, {"flag", ""}, {"bad", "%4"}};
  EXPECT_EQ(target.query, expected);
  EXPECT_TRUE(split_target("/state").query.empty());
}

}  // namespace
}  // namespace penstock::local
