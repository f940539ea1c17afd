// An exported line gives back the very bytes it was made of, whatever they are; a wrong one says
// what is wrong with it.
#include <random>

#include <gtest/gtest.h>

#include "agent/base/record.h"
#include "agent/codec/export_line.h"

namespace penstock::codec {
namespace {

ExportLine line_of(uint64_t seq) {
  ExportLine line;
  line.lane = {"gw-1/00ff00ff00ff00ff/3", "telemetry", "main.iot.t"};
  line.first = line.last = seq;
  return line;
}

std::string body_of(const RecordView& record) {
  std::string body;
  encode_record(record, body);
  return body;
}

ExportLine through_text(const ExportLine& line, std::string_view body) {
  std::string text;
  append_export_record(line, body, text);
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  ExportLineReader reader;
  auto read = reader.read(std::string_view(text).substr(0, text.size() - 1));
  EXPECT_TRUE(read) << read.error().what << "\n" << text;
  return read ? *read : ExportLine();
}

TEST(ExportLine, AnyRecordComesBackAsTheSameBytes) {
  const std::string nasty = std::string("\0\n\"\\\x7f\xc3\xa9\xe2\x82\xac", 10);
  const std::string binary = std::string("\xff\xfe\0\x80", 4);
  for (const std::string& text : {std::string(), std::string("{\"a\":1}"), nasty, binary}) {
    for (const std::string& name : {std::string("plant/x"), nasty, binary}) {
      const AttributeView attributes[] = {{name, text}, {name, name}, {"", ""}};
      for (size_t count : {0, 1, 3}) {
        RecordView record{name, name, text, std::span(attributes, count), -5, TimeQuality::kUnset};
        const std::string body = body_of(record);
        const ExportLine line = line_of(7);
        const ExportLine read = through_text(line, body);
        EXPECT_EQ(read.body, body);
        EXPECT_EQ(read.first, 7U);
        EXPECT_EQ(read.lane.origin, line.lane.origin);
        EXPECT_EQ(read.lane.route, line.lane.route);
        EXPECT_EQ(read.lane.table, line.lane.table);
        EXPECT_FALSE(read.delivered);
        EXPECT_FALSE(read.quarantined);
      }
    }
  }
}

TEST(ExportLine, BytesThatAreNoRecordComeBackToo) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    std::string body = body_of({"plc", "t", "payload", {}, 1, TimeQuality::kSet});
    body.resize(random() % (body.size() + 1));
    if (!body.empty() && i % 2 == 0) body[random() % body.size()] = static_cast<char>(random());
    EXPECT_EQ(through_text(line_of(1), body).body, body);
  }
}

TEST(ExportLine, TextStaysTextAndOtherBytesAreBase64) {
  std::string text;
  append_export_record(line_of(1), body_of({"s", "t", "{\"v\":1}", {}, 1, TimeQuality::kSet}),
                       text);
  EXPECT_NE(text.find(R"("encoding":"text","payload":"{\"v\":1}")"), std::string::npos) << text;
  text.clear();
  append_export_record(line_of(1), body_of({"s", "t", "\xff", {}, 1, TimeQuality::kSet}), text);
  EXPECT_NE(text.find(R"("encoding":"base64","payload":"/w==")"), std::string::npos) << text;
}

TEST(ExportLine, QuarantineDeliveryAndGapsAreKept) {
  ExportLine line = line_of(9);
  line.delivered = true;
  line.quarantined = {{-3, "no\ncolumn \xff"}};
  const ExportLine read = through_text(line, "");
  EXPECT_TRUE(read.delivered);
  ASSERT_TRUE(read.quarantined);
  EXPECT_EQ(read.quarantined->at_us, -3);
  EXPECT_EQ(read.quarantined->reason, "no\ncolumn \xff");

  ExportLine gap = line_of(4);
  gap.last = 8;
  gap.fate = "damaged";
  gap.note = {11, "torn"};
  std::string text;
  append_export_gap(gap, text);
  ExportLineReader reader;
  const auto back = reader.read(std::string_view(text).substr(0, text.size() - 1));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(back->kind, ExportLine::Kind::kGap);
  EXPECT_EQ(back->first, 4U);
  EXPECT_EQ(back->last, 8U);
  EXPECT_EQ(back->fate, "damaged");
  EXPECT_EQ(back->note.reason, "torn");
}

struct Wrong {
  const char* text;
  const char* complaint;
};

class WrongExportLine : public testing::TestWithParam<Wrong> {};

TEST_P(WrongExportLine, SaysWhatIsWrong) {
  ExportLineReader reader;
  const auto read = reader.read(GetParam().text);
  ASSERT_FALSE(read) << GetParam().text;
  EXPECT_EQ(read.error().kind, ErrorKind::kRejected);
  EXPECT_NE(read.error().what.find(GetParam().complaint), std::string::npos) << read.error().what;
}

#define LANE R"("origin":"a/b/1","route":"r","table":"t")"
#define REST R"("received_at_us":1,"clock":"set","source":"s","topic":"t")"
INSTANTIATE_TEST_SUITE_P(
    All, WrongExportLine,
    testing::Values(
        Wrong{"{\"origin\":", "not one JSON object"}, Wrong{"", "not one JSON object"},
        Wrong{"[1]", "not a JSON object"}, Wrong{"{}", "\"origin\" is missing"},
        Wrong{"{" LANE "}", "\"seq\" is missing"},
        Wrong{"{" LANE R"(,"seq":0})", "\"seq\" is not the number of a record: 0"},
        Wrong{"{" LANE R"(,"seq":"7"})", "\"seq\" is not a whole number"},
        Wrong{"{" LANE R"(,"seq":7})", "\"encoding\" is missing"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"hex","payload":"00",)" REST "}",
              "\"encoding\" is hex"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"base64","payload":"!",)" REST "}", "not base64"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"text","payload":7,)" REST "}", "neither text"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"text","payload":"",)" REST
              R"(,"attributes":[["a"]]})",
              "list of [key, value]"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"text","payload":"",)" REST R"(,"attributes":"a"})",
              "list of [key, value]"},
        Wrong{"{" LANE R"(,"gap":{"first":5,"last":4,"fate":"damaged","at_us":0,"reason":""}})",
              "ends before it begins"},
        Wrong{"{" LANE R"(,"seq":7,"encoding":"text","payload":"x",)" REST "} x",
              "not one JSON object"}));

}  // namespace
}  // namespace penstock::codec
