// Goal: the descriptor and the rows made by hand are what protobuf's own library reads as the same
// table and the same values. Method: rows are parsed by a DynamicMessage of the descriptor and
// compared as text.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include "agent/base/varint.h"
#include "agent/codec/row_descriptor.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/table_fit.h"
#include "agent/codec/type_text.h"

namespace penstock::codec {
namespace {

namespace pb = google::protobuf;
using ::testing::HasSubstr;

struct Wanted {
  const char* name;
  const char* type;
  bool nullable = true;
};

TableSchema table_of(const std::vector<Wanted>& columns) {
  TableSchema table;
  for (const auto& [name, type, nullable] : columns) {
    auto parsed = parse_type_text(type);
    EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().what);
    const auto position = static_cast<uint32_t>(table.columns.size());
    table.columns.push_back({name, *std::move(parsed), nullable, position});
  }
  return table;
}

// The message that protobuf builds from a descriptor.
class Reader {
 public:
  explicit Reader(const std::string& descriptor) {
    pb::FileDescriptorProto file;
    file.set_name("row.proto");
    EXPECT_TRUE(file.add_message_type()->ParseFromString(descriptor));
    built_ = pool_.BuildFile(file);
    EXPECT_NE(built_, nullptr) << file.DebugString();
  }
  const pb::Descriptor& row() const { return *built_->message_type(0); }
  // "<unreadable>" when protobuf does not take the bytes.
  std::string text(std::string_view bytes) {
    const std::unique_ptr<pb::Message> message(factory_.GetPrototype(&row())->New());
    if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return "<unreadable>";
    }
    if (!message->GetReflection()->GetUnknownFields(*message).empty()) return "<unknown fields>";
    return message->ShortDebugString();
  }

 private:
  pb::DescriptorPool pool_;
  const pb::FileDescriptor* built_ = nullptr;
  pb::DynamicMessageFactory factory_;
};

RecordView record(std::string_view payload) {
  RecordView view;
  view.source = "plc";
  view.topic = "plant/l1";
  view.payload = payload;
  view.received_at_us = 1'714'566'600'000'001;
  return view;
}

const RowMeta kMeta = {"gw-1/7/3", "7", 42, 3};

// The row of `payload` as protobuf prints it, or "refused: " and the reason.
std::string through(RowEncoder& rows, std::string_view payload) {
  std::string out = "before";
  const auto encoded = rows.encode(record(payload), kMeta, out);
  if (!encoded) {
    EXPECT_EQ(out, "before") << "a refused record leaves nothing behind";
    return "refused: " + encoded.error().what;
  }
  std::string_view rest(out);
  rest.remove_prefix(6);
  EXPECT_TRUE(rest.starts_with('\x0a'));
  rest.remove_prefix(1);
  const auto row = take_bytes(rest);
  EXPECT_TRUE(row && rest.empty());
  return Reader(rows.descriptor()).text(row.value_or(""));
}

std::string through(const TableSchema& table, std::string_view payload, EncoderSpec spec = {}) {
  auto rows = RowEncoder::make(std::move(spec), table, RowForm::kProto);
  if (!rows) return "refused at once: " + rows.error().what;
  return through(*rows, payload);
}

TEST(RowDescriptor, IsTheTableInProtobuf) {
  const auto descriptor =
      row_descriptor(table_of({{"id", "bigint", false},
                               {"t", "tinyint"},
                               {"at", "timestamp_ntz"},
                               {"day", "date"},
                               {"f", "float"},
                               {"x", "double"},
                               {"ok", "boolean"},
                               {"name", "varchar(5)", false},
                               {"raw", "binary"},
                               {"price", "decimal(10,2)"},
                               {"v", "variant"},
                               {"tags", "array<string>"},
                               {"home_address", "struct<street:string,geo:struct<lat:double>>"},
                               {"visits", "array<struct<at:timestamp>>"},
                               {"counts", "map<string,bigint>", false},
                               {"by_id", "map<int,struct<a:int>>"}}),
                     "Row");
  ASSERT_TRUE(descriptor) << descriptor.error().what;
  pb::DescriptorProto parsed;
  ASSERT_TRUE(parsed.ParseFromString(*descriptor));
  EXPECT_EQ(parsed.name(), "Row");
  EXPECT_EQ(parsed.ByteSizeLong(), descriptor->size());
  EXPECT_EQ(Reader(*descriptor).row().DebugString(),
            R"(message Row {
  message HomeAddress {
    message Geo {
      optional double lat = 1;
    }
    optional string street = 1;
    optional .Row.HomeAddress.Geo geo = 2;
  }
  message Visits {
    optional int64 at = 1;
  }
  message ById {
    optional int32 a = 1;
  }
  required int64 id = 1;
  optional int32 t = 2;
  optional int64 at = 3;
  optional int32 day = 4;
  optional float f = 5;
  optional double x = 6;
  optional bool ok = 7;
  required string name = 8;
  optional bytes raw = 9;
  optional string price = 10;
  optional string v = 11;
  repeated string tags = 12;
  optional .Row.HomeAddress home_address = 13;
  repeated .Row.Visits visits = 14;
  map<string, int64> counts = 15;
  map<int32, .Row.ById> by_id = 16;
}
)");
}

TEST(RowDescriptor, NumbersAreThoseOfThePositionsAndSkipWhatProtobufKeeps) {
  EXPECT_EQ(field_number(0), 1u);
  EXPECT_EQ(field_number(18'998), 18'999u);
  EXPECT_EQ(field_number(18'999), 20'000u);
  TableSchema table = table_of({{"b", "int"}, {"a", "int"}, {"far", "int"}});
  table.columns[0].position = 7;
  table.columns[1].position = 2;
  table.columns[2].position = 18'999;
  EXPECT_EQ(Reader(*row_descriptor(table, "Row")).row().DebugString(),
            "message Row {\n  optional int32 a = 3;\n  optional int32 b = 8;\n"
            "  optional int32 far = 20000;\n}\n");
}

TEST(RowDescriptor, NamesOfMessagesNeverCollide) {
  const auto table = table_of({{"Address", "struct<a:int>"},
                               {"a_b", "struct<a:int>"},
                               {"aB", "struct<a:int>"},
                               {"m_x", "map<string,struct<a:int>>"},
                               {"MX", "struct<a:int>"},
                               {"_1", "struct<a:int>"},
                               {"_", "array<struct<_:struct<a:int>>>"}});
  const auto descriptor = row_descriptor(table, "Row");
  ASSERT_TRUE(descriptor) << descriptor.error().what;
  EXPECT_EQ(Reader(*descriptor).row().field_count(), 7);
}

TEST(RowDescriptor, MapsThatProtobufCannotTellApartAreRefused) {
  const auto descriptor =
      row_descriptor(table_of({{"a_b", "map<int,int>"}, {"aB", "map<int,int>"}}), "Row");
  ASSERT_FALSE(descriptor);
  EXPECT_THAT(descriptor.error().what, HasSubstr("column 'aB'"));
  EXPECT_FALSE(row_descriptor(table_of({{"m_x", "map<int,int>"}, {"MXEntry", "int"}}), "Row"));
}

TEST(ProtoRows, EveryScalarArrivesAsItsType) {
  const auto table = table_of({{"t", "tinyint"},
                               {"s", "smallint"},
                               {"i", "int"},
                               {"l", "bigint"},
                               {"f", "float"},
                               {"d", "double"},
                               {"b", "boolean"},
                               {"n", "string"},
                               {"r", "binary"},
                               {"day", "date"},
                               {"at", "timestamp"},
                               {"w", "timestamp_ntz"},
                               {"p", "decimal(9,2)"},
                               {"v", "variant"}});
  EXPECT_EQ(
      through(table,
              R"({"t":-128,"s":32767,"i":-2147483648,"l":9223372036854775807,"f":0.5,"d":-1e-3,
                  "b":true,"n":"h\u00e4\n","r":"aGk=","day":"1970-01-03","at":"1970-01-01T00:00:01Z",
                  "w":"1970-01-01 00:00:02","p":"007.50","v":{"k":[1,"x"]}})"),
      R"(t: -128 s: 32767 i: -2147483648 l: 9223372036854775807 f: 0.5 d: -0.001 b: true )"
      R"(n: "h\303\244\n" r: "hi" day: 2 at: 1000000 w: 2000000 p: "7.5" v: "{\"k\":[1,\"x\"]}")");
  EXPECT_EQ(through(table, R"({"b":false,"n":"","r":"","f":1e-60,"d":-1e-999,"i":"7","l":0})"),
            R"(i: 7 l: 0 f: 0 d: -0 b: false n: "" r: "")");
}

TEST(ProtoRows, NullIsAnAbsentField) {
  const auto table = table_of({{"a", "int"}, {"b", "string"}, {"c", "array<int>"}});
  EXPECT_EQ(through(table, R"({"a":null,"c":null})"), "");
  EXPECT_EQ(through(table, R"({"c":[]})"), "");
}

TEST(ProtoRows, NestedValuesArriveInTheirPlaces) {
  const auto table = table_of({{"tags", "array<string>"},
                               {"nums", "array<int>"},
                               {"s", "struct<a:int,b:array<struct<c:decimal(5,1),d:boolean>>>"},
                               {"m", "map<int,struct<x:date>>"},
                               {"flags", "map<boolean,string>"}});
  EXPECT_EQ(through(table, R"({"tags":["x","\"y\""],"nums":[1,-1,"3"],
         "s":{"b":[{"c":1.5,"d":true},{}],"a":null},"m":{"-7":{"x":3}},"flags":{"true":"on"}})"),
            R"(tags: "x" tags: "\"y\"" nums: 1 nums: -1 nums: 3 )"
            R"(s { b { c: "1.5" d: true } b { } } m { key: -7 value { x: 3 } } )"
            R"(flags { key: true value: "on" })");
  EXPECT_EQ(through(table, R"({"s":{}})"), "s { }");
}

TEST(ProtoRows, KeysOfAMapAreTheSameOnlyAsWhatTheyStandFor) {
  const auto table = table_of({{"t", "map<string,int>"}, {"n", "array<struct<m:map<int,int>>>"}});
  EXPECT_EQ(through(table, R"({"t":{"1":1,"01":2},"n":[{"m":{"1":1}},{"m":{"01":2}}]})"),
            R"(t { key: "01" value: 2 } t { key: "1" value: 1 } )"
            R"(n { m { key: 1 value: 1 } } n { m { key: 1 value: 2 } })");
}

TEST(ProtoRows, WhatDoesNotFitIsRefusedWithItsPlace) {
  const auto table = table_of({{"i", "tinyint"},
                               {"n", "varchar(2)"},
                               {"tags", "array<int>"},
                               {"s", "struct<a:array<struct<b:int>>,r:int not null>"},
                               {"m", "map<int,boolean>"},
                               {"b", "map<boolean,int>"},
                               {"w", "timestamp_ntz"}});
  const std::pair<const char*, const char*> cases[] = {
      {R"({"i":128})", "column 'i': ${payload['i']} is 128, expected a whole number in 8 bits"},
      {R"({"n":"\u00e4\u00e4\u00e4"})", "expected at most 2 characters"},
      {R"({"tags":7})", "is 7, expected an object or array"},
      {R"({"tags":{"a":1}})", R"(is {"a":1}, expected an array)"},
      {R"({"tags":[1,"x"]})",
       "column 'tags': ${payload['tags']} element 1 is 'x', expected a whole number in 32 bits"},
      {R"({"tags":[1,null]})", "element 1 is null, which an ARRAY cannot hold"},
      {R"({"s":{"r":1,"a":[{"b":1},{"b":true}]}})",
       "field 'a', element 1, field 'b' is true, expected a whole number"},
      {R"({"s":{"r":1,"q":1}})", "field 'q' is not in the table"},
      {R"({"s":{"a":[]}})", "field 'r' is null or missing, but it is NOT NULL"},
      {R"({"m":{"x":true}})", "key 'x' is 'x', expected a whole number"},
      {R"({"m":{"1":null}})", "key '1' is null, which a MAP cannot hold"},
      {R"({"m":{"1":2}})", "key '1' is 2, expected true or false"},
      {R"({"m":{"1":true,"7":true,"01":false}})", "key '01' is in the MAP already, as 1"},
      {R"({"m":{"-1.0":true,"-1":true}})", "key '-1' is in the MAP already, as -1"},
      {R"({"b":{"true":1," true":2}})", "key ' true' is in the MAP already, as true"},
      {R"({"w":"2024-05-01T00:00:00Z"})", "without Z or an offset"},
      {R"({"other":1})", "the table has no column 'other'"},
      {R"([1])", "the payload is no object"},
      {R"({"i":1,"i":2})", "twice"},
      {"{", "is not valid JSON"},
  };
  for (const auto& [payload, problem] : cases) {
    EXPECT_THAT(through(table, payload), HasSubstr(problem)) << payload;
    EXPECT_THAT(through(table, payload), HasSubstr("refused: ")) << payload;
  }
  EncoderSpec spec;
  spec.unknown_fields = UnknownFields::kIgnore;
  EXPECT_EQ(through(table, R"({"other":1,"i":3,"s":{"q":1,"r":5}})", spec), "i: 3 s { r: 5 }");
}

TEST(ProtoRows, WhatMayNotBeNullIsRefusedHereAndNotByTheService) {
  const auto table = table_of({{"id", "bigint", false}, {"x", "int"}});
  EXPECT_THAT(through(table, R"({"x":1})"),
              HasSubstr("column 'id': ${payload['id']} is null or missing, but the column is NOT "
                        "NULL"));
  EXPECT_THAT(through(table, R"({"id":null})"), HasSubstr("NOT NULL"));
  EXPECT_EQ(through(table, R"({"id":0})"), "id: 0");
}

ColumnSpec column(std::string name, std::string_view from, std::string_view as = "") {
  ColumnSpec spec;
  spec.name = std::move(name);
  spec.from = *Expression::parse(from);
  spec.cast = *parse_cast(as);
  return spec;
}

std::string by_columns(std::vector<ColumnSpec> columns, std::string_view payload) {
  EncoderSpec spec;
  spec.columns = std::move(columns);
  spec.agent_id = "gw-1";
  auto table = schema_of_columns(spec.columns);
  if (!table) return "refused at once: " + table.error().what;
  return through(*table, payload, std::move(spec));
}

TEST(ProtoRows, ColumnsOfTheRouteKeepTheirRules) {
  auto with_default = column("d", "${payload.none}", "double");
  with_default.default_json = "1.5";
  auto nulled = column("n", "${payload.bad}", "int");
  nulled.on_error = OnError::kNull;
  auto hex = column("h", "${payload.hex}", "binary(hex)");
  auto ms = column("t", "${payload.t}", "timestamp");
  ms.unit = TimeUnit::kMillis;
  EXPECT_EQ(by_columns({with_default, nulled, hex, ms, column("seq", "${meta.seq}"),
                        column("at", "${meta.received_at}"), column("o", "${meta.origin}"),
                        column("where", "${topic}@${agent.id}"), column("c", "fixed"),
                        column("whole", "${payload}")},
                       R"({"bad":"x","hex":"6869","t":1500})"),
            R"(d: 1.5 h: "hi" t: 1500000 seq: 42 at: 1714566600000001 o: "gw-1/7/3" )"
            R"(where: "plant/l1@gw-1" c: "fixed" )"
            R"(whole: "{\"bad\":\"x\",\"hex\":\"6869\",\"t\":1500}")");
  auto strict = column("n", "${payload.bad}", "int");
  EXPECT_THAT(by_columns({strict}, R"({"bad":"x"})"),
              HasSubstr("column 'n': ${payload.bad} is 'x'"));
  nulled.nullable = false;
  EXPECT_THAT(by_columns({nulled}, R"({"bad":"x"})"), HasSubstr("refused: column 'n'"))
      << "there is no NULL to store";
  with_default.default_json = "\"x\"";
  EXPECT_THAT(by_columns({with_default}, "{}"),
              HasSubstr("refused at once: column 'd': default is 'x', expected a number"));
}

// The table's word is for its label; the route's is a rule of its own.
TEST(ProtoRows, WhatTheRouteCallsNotNullIsSoWhereTheTableDoesNotMind) {
  const auto table = table_of({{"ts", "timestamp"}, {"id", "bigint", false}});
  EncoderSpec spec;
  spec.columns = {column("ts", "${payload.t}"), column("id", "${payload.id}")};
  spec.columns[0].nullable = false;
  EXPECT_EQ(through(table, R"({"t":1,"id":2})", spec), "ts: 1 id: 2");
  for (const auto* payload : {R"({"id":2})", R"({"t":null,"id":2})", R"({"t":1})"})
    EXPECT_THAT(through(table, payload, spec), HasSubstr("the column is NOT NULL")) << payload;
  auto rows = RowEncoder::make(spec, table, RowForm::kProto);
  ASSERT_TRUE(rows);
  EXPECT_EQ(Reader(rows->descriptor()).row().DebugString(),
            "message Row {\n  optional int64 ts = 1;\n  required int64 id = 2;\n}\n");
}

TEST(ProtoRows, AFieldThatIsNearlyAColumnIsRefusedWithWhatToDo) {
  const auto table = table_of({{"Temp", "double"}, {"_seq", "bigint"}});
  EXPECT_THAT(through(table, R"({"temp":1})"),
              HasSubstr("the payload has a field 'temp', the table a column 'Temp'"));
  EXPECT_THAT(through(table, R"({"Temp":1,"_seq":1})"),
              HasSubstr("the payload has a field '_seq', but the column of that name is filled "
                        "with what names the record"));
  EXPECT_THAT(through(table, R"({"Tem":1})"), HasSubstr("the table has no column 'Tem'"));
}

TEST(ProtoRows, JsonRowsOfAKnownTableFollowTheSameRules) {
  const auto table = table_of({{"id", "tinyint", false}, {"x", "decimal(4,1)"}});
  auto rows = RowEncoder::make({}, table, RowForm::kJson);
  ASSERT_TRUE(rows);
  EXPECT_TRUE(rows->descriptor().empty());
  std::string out;
  ASSERT_TRUE(rows->encode(record(R"({"id":7,"x":1.5})"), kMeta, out));
  EXPECT_EQ(out.substr(2), R"({"id":7,"x":"1.5"})");
  EXPECT_FALSE(rows->encode(record(R"({"id":300})"), kMeta, out));
  EXPECT_FALSE(rows->encode(record(R"({"x":1})"), kMeta, out));
}

TEST(ProtoRows, ARawPayloadNeedsColumns) {
  EncoderSpec spec;
  spec.format = PayloadFormat::kRaw;
  EXPECT_FALSE(RowEncoder::make(spec, table_of({{"a", "binary"}}), RowForm::kProto));
  spec.columns = {column("a", "${payload}", "binary")};
  EXPECT_EQ(through(table_of({{"a", "binary"}}), "\xff\x01", spec), R"(a: "\377\001")");
}

}  // namespace
}  // namespace penstock::codec
