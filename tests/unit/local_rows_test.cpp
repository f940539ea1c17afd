// Records -> rows: what fits a table, what does not, and with which words it is refused.
#include <limits>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "tests/zerobus_local/json_rows.h"
#include "tests/zerobus_local/proto_rows.h"
#include "tests/zerobus_local/proto_schema.h"
#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptorProto;
using ::testing::HasSubstr;

TablePtr make_table(const std::vector<std::tuple<const char*, const char*, bool>>& columns) {
  std::vector<Column> out;
  for (const auto& [name, type, nullable] : columns) {
    auto parsed = parse_type(type);
    EXPECT_TRUE(parsed) << type;
    out.push_back({name, *parsed, nullable});
  }
  return std::make_shared<Table>("main.iot.t", std::move(out));
}

std::string show(const Value& value) {
  if (const auto* n = std::get_if<int64_t>(&value)) return std::to_string(*n);
  if (const auto* d = std::get_if<double>(&value)) {
    std::string out;
    append_json_number(*d, out);
    return out;
  }
  if (const auto* s = std::get_if<std::string>(&value)) return "'" + *s + "'";
  if (const auto* b = std::get_if<Blob>(&value)) return "x'" + b->bytes + "'";
  return "NULL";
}

// The cell of a one-column table, or "refused: reason".
std::string through_json(const char* type, const std::string& value) {
  const auto decoder = make_json_decoder(make_table({{"c", type, true}}));
  std::vector<Value> cells;
  const auto reason = decoder->decode("{\"c\":" + value + "}", cells);
  if (reason) {
    EXPECT_TRUE(cells.empty());
    return "refused: " + *reason;
  }
  return show(cells.at(0));
}

TEST(JsonRows, EachTypeTakesItsOneForm) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"TINYINT", "-128", "-128"},
      {"SMALLINT", "32767", "32767"},
      {"INT", "-2147483648", "-2147483648"},
      {"BIGINT", "9223372036854775807", "9223372036854775807"},
      {"FLOAT", "0.5", "0.5"},
      {"DOUBLE", "1e300", "1e+300"},
      {"DOUBLE", "3", "3"},
      {"STRING", R"("h\u00e4")", "'h\xC3\xA4'"},
      {"VARCHAR(2)", R"("\u00e4\u00f6")", "'\xC3\xA4\xC3\xB6'"},
      {"BOOLEAN", "true", "1"},
      {"BINARY", R"("aGk=")", "x'hi'"},
      {"BINARY", R"("aGk")", "x'hi'"},
      {"BINARY", R"("-_-_")", "x'\xFB\xFF\xBF'"},
      {"BINARY", R"("")", "x''"},
      {"DATE", "-1", "-1"},
      {"TIMESTAMP", "1700000000000000", "1700000000000000"},
      {"TIMESTAMP_NTZ", "0", "0"},
      {"DECIMAL(4,2)", R"("-99.99")", "'-99.99'"},
      {"DECIMAL(4,2)", R"("007")", "'007'"},
      {"VARIANT", R"("{\"a\":[1]}")", R"('{"a":[1]}')"},
      {"ARRAY<INT>", "[1, 2]", "'[1,2]'"},
      {"MAP<INT,STRING>", R"({"7": "x"})", R"('{"7":"x"}')"},
      {"MAP<BOOLEAN,INT>", R"({"true": 1})", R"('{"true":1}')"},
      {"STRUCT<a:INT,b:ARRAY<STRING>>", R"({"b": ["x"], "a": null})", R"('{"b":["x"],"a":null}')"},
      {"INT", "null", "NULL"},
  };
  for (const auto& [type, value, cell] : cases) {
    EXPECT_EQ(through_json(type, value), cell) << type << " " << value;
  }
}

TEST(JsonRows, EveryOtherFormIsRefusedAndTheColumnNamed) {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"TINYINT", "128", "column c (TINYINT): 128 does not fit"},
      {"SMALLINT", "-32769", "does not fit"},
      {"INT", "2147483648", "does not fit"},
      {"INT", "1.0", "wants an integer, got the number 1.0"},
      {"INT", "\"1\"", "wants an integer, got the text \"1\""},
      {"BIGINT", "9223372036854775808", "does not fit"},
      {"BIGINT", "true", "wants an integer, got true"},
      {"FLOAT", "1e39", "does not fit"},
      {"DOUBLE", "\"1\"", "wants a number"},
      {"STRING", "1", "wants a string, got the number 1"},
      {"VARCHAR(2)", "\"abc\"", "3 characters"},
      {"BOOLEAN", "1", "wants true or false"},
      {"BINARY", "\"a*k=\"", "is not base64"},
      {"BINARY", "\"aGkaa\"", "is not base64"},
      {"BINARY", "\"====\"", "is not base64"},
      {"DATE", "\"2026-01-01\"", "wants integer days"},
      {"TIMESTAMP", "\"2026-01-01T00:00:00Z\"",
       "wants integer microseconds since 1970-01-01, got the text \"2026-01-01T00:00:00Z\""},
      {"TIMESTAMP", "1.5", "wants integer microseconds"},
      {"DECIMAL(4,2)", "1.5", "wants a string with a decimal number"},
      {"DECIMAL(4,2)", "\"100\"", "not a decimal number that fits"},
      {"DECIMAL(4,2)", "\"1.234\"", "not a decimal number that fits"},
      {"DECIMAL(4,2)", "\"1e1\"", "not a decimal number that fits"},
      {"DECIMAL(4,2)", "\".\"", "not a decimal number that fits"},
      {"VARIANT", "{\"a\":1}", "wants a string with JSON text, got an object"},
      {"VARIANT", "\"{a\"", "is not JSON text"},
      {"ARRAY<INT>", "{}", "wants an array"},
      {"ARRAY<INT>", "[1,\"x\"]", "element 1: wants an integer"},
      {"ARRAY<INT>", "[null]", "null is not allowed"},
      {"MAP<INT,INT>", "{\"x\":1}", "key \"x\""},
      {"MAP<STRING,INT>", "{\"x\":null}", "null is not allowed"},
      {"STRUCT<a:INT>", "{\"b\":1}", "the struct has no field \"b\""},
      {"STRUCT<a:STRUCT<b:INT>>", "{\"a\":{\"b\":[]}}",
       "field a: field b: wants an integer, got an array"},
  };
  for (const auto& [type, value, reason] : cases) {
    EXPECT_THAT(through_json(type, value), HasSubstr(reason)) << type << " " << value;
    EXPECT_THAT(through_json(type, value), HasSubstr("refused: column c ("))
        << type << " " << value;
  }
}

std::string decode_json(const TablePtr& table, std::string_view record) {
  std::vector<Value> cells = {int64_t{42}};
  const auto reason = make_json_decoder(table)->decode(record, cells);
  EXPECT_EQ(cells.size(), reason ? 1U : 1U + table->columns().size());
  return reason.value_or("ok");
}

TEST(JsonRows, KeysAreColumnsNothingMoreNothingTwiceNothingMissing) {
  const auto table = make_table({{"id", "BIGINT", false}, {"note", "STRING", true}});
  EXPECT_EQ(decode_json(table, R"({"id":1})"), "ok");
  EXPECT_EQ(decode_json(table, R"({"note":null,"id":1})"), "ok");
  EXPECT_THAT(decode_json(table, R"({"note":"x"})"), HasSubstr("column id: missing"));
  EXPECT_THAT(decode_json(table, R"({"id":null})"), HasSubstr("column id: null"));
  EXPECT_THAT(decode_json(table, R"({"id":1,"nope":1})"), HasSubstr("no column \"nope\""));
  EXPECT_THAT(decode_json(table, R"({"ID":1})"), HasSubstr("no column \"ID\""));
  EXPECT_THAT(decode_json(table, R"({"id":1,"id":2})"), HasSubstr("column id: given twice"));
  EXPECT_THAT(decode_json(table, R"([{"id":1}])"), HasSubstr("one JSON object, got an array"));
  EXPECT_THAT(decode_json(table, R"({"id":1}{"id":2})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(decode_json(table, R"({"id":1)"), HasSubstr("not valid JSON"));
  EXPECT_THAT(decode_json(table, ""), HasSubstr("not valid JSON"));
  EXPECT_THAT(decode_json(table, "{\"id\":1,\"note\":\"\xFF\"}"), HasSubstr("not valid JSON"));
}

TEST(Base64, RoundTripsEveryLength) {
  std::string bytes;
  for (int i = 0; i < 20; ++i) {
    std::string text, back;
    append_base64(bytes, text);
    EXPECT_EQ(text.size() % 4, 0U);
    ASSERT_TRUE(decode_base64(text, back)) << text;
    EXPECT_EQ(back, bytes);
    bytes.push_back(static_cast<char>(i * 53 + 200));
  }
}

FieldDescriptorProto& add_field(DescriptorProto& message, const char* name,
                                FieldDescriptorProto::Type type, bool required = false,
                                bool repeated = false) {
  auto& field = *message.add_field();
  field.set_name(name);
  field.set_number(message.field_size());
  field.set_type(type);
  field.set_label(repeated   ? FieldDescriptorProto::LABEL_REPEATED
                  : required ? FieldDescriptorProto::LABEL_REQUIRED
                             : FieldDescriptorProto::LABEL_OPTIONAL);
  return field;
}

std::string match(const DescriptorProto& row, const TablePtr& table) {
  const auto schema = match_descriptor(row.SerializeAsString(), *table);
  return schema ? "ok" : schema.error().what;
}

struct TypePair {
  const char* delta;
  FieldDescriptorProto::Type proto;
};
constexpr TypePair kScalars[] = {{"TINYINT", FieldDescriptorProto::TYPE_INT32},
                                 {"SMALLINT", FieldDescriptorProto::TYPE_INT32},
                                 {"INT", FieldDescriptorProto::TYPE_INT32},
                                 {"BIGINT", FieldDescriptorProto::TYPE_INT64},
                                 {"FLOAT", FieldDescriptorProto::TYPE_FLOAT},
                                 {"DOUBLE", FieldDescriptorProto::TYPE_DOUBLE},
                                 {"STRING", FieldDescriptorProto::TYPE_STRING},
                                 {"VARCHAR(9)", FieldDescriptorProto::TYPE_STRING},
                                 {"BOOLEAN", FieldDescriptorProto::TYPE_BOOL},
                                 {"BINARY", FieldDescriptorProto::TYPE_BYTES},
                                 {"DATE", FieldDescriptorProto::TYPE_INT32},
                                 {"TIMESTAMP", FieldDescriptorProto::TYPE_INT64},
                                 {"TIMESTAMP_NTZ", FieldDescriptorProto::TYPE_INT64},
                                 {"DECIMAL(9,2)", FieldDescriptorProto::TYPE_STRING},
                                 {"VARIANT", FieldDescriptorProto::TYPE_STRING}};

TEST(ProtoSchema, EveryScalarMatchesItsProtobufTypeAndNoOther) {
  for (const auto& [delta, right] : kScalars) {
    const auto table = make_table({{"c", delta, true}});
    for (const auto& [other, type] : kScalars) {
      DescriptorProto row;
      row.set_name("Row");
      add_field(row, "c", type);
      if (type == right) {
        EXPECT_EQ(match(row, table), "ok") << delta;
      } else {
        EXPECT_THAT(match(row, table), HasSubstr("field c is ")) << delta << " as " << other;
      }
    }
  }
}

TEST(ProtoSchema, NamesLabelsAndMissingColumnsAreAllReported) {
  const auto table =
      make_table({{"id", "BIGINT", false}, {"at", "TIMESTAMP", false}, {"v", "INT", true}});
  DescriptorProto row;
  row.set_name("Row");
  add_field(row, "id", FieldDescriptorProto::TYPE_INT64);
  add_field(row, "v", FieldDescriptorProto::TYPE_SINT32);
  add_field(row, "extra", FieldDescriptorProto::TYPE_INT64);
  const auto what = match(row, table);
  EXPECT_THAT(what, HasSubstr("field id must be required"));
  EXPECT_THAT(what, HasSubstr("field v is sint32, but INT needs int32"));
  EXPECT_THAT(what, HasSubstr("field extra is not a column"));
  EXPECT_THAT(what, HasSubstr("column at is NOT NULL, but the descriptor has no field"));
  DescriptorProto good;
  good.set_name("Row");
  add_field(good, "at", FieldDescriptorProto::TYPE_INT64, true);  // order does not count
  add_field(good, "id", FieldDescriptorProto::TYPE_INT64, true);  // nullable v may be absent
  EXPECT_EQ(match(good, table), "ok");
}

TEST(ProtoSchema, BytesThatAreNoUsableDescriptorAreRefused) {
  const auto table = make_table({{"s", "STRUCT<a:INT>", true}});
  EXPECT_THAT(match_descriptor("", *table).error().what, HasSubstr("missing"));
  EXPECT_THAT(match_descriptor("\xFF\xFF", *table).error().what, HasSubstr("not a serialized"));
  DescriptorProto row;
  row.set_name("Row");
  add_field(row, "s", FieldDescriptorProto::TYPE_MESSAGE).set_type_name(".pkg.Elsewhere");
  EXPECT_THAT(match(row, table), HasSubstr("nested in the row message"));
}

// A row with a struct, a list of structs and a map; types named absolutely, as protoc does, in a
// package.
DescriptorProto nested_row() {
  DescriptorProto row;
  row.set_name("Row");
  auto& point = *row.add_nested_type();
  point.set_name("Point");
  add_field(point, "x", FieldDescriptorProto::TYPE_INT64);
  add_field(point, "raw", FieldDescriptorProto::TYPE_BYTES);
  add_field(point, "tags", FieldDescriptorProto::TYPE_STRING, false, true);
  auto& entry = *row.add_nested_type();
  entry.set_name("CountsEntry");
  entry.mutable_options()->set_map_entry(true);
  add_field(entry, "key", FieldDescriptorProto::TYPE_INT32);
  add_field(entry, "value", FieldDescriptorProto::TYPE_DOUBLE);
  add_field(row, "p", FieldDescriptorProto::TYPE_MESSAGE).set_type_name(".some.pkg.Row.Point");
  add_field(row, "all", FieldDescriptorProto::TYPE_MESSAGE, false, true)
      .set_type_name(".some.pkg.Row.Point");
  add_field(row, "counts", FieldDescriptorProto::TYPE_MESSAGE, false, true)
      .set_type_name(".some.pkg.Row.CountsEntry");
  return row;
}

const char* const kPoint = "STRUCT<x:BIGINT,raw:BINARY,tags:ARRAY<STRING>>";

TEST(ProtoSchema, NestedTypesMatchBothWays) {
  const std::string list = std::string("ARRAY<") + kPoint + ">";
  EXPECT_EQ(match(nested_row(), make_table({{"p", kPoint, true},
                                            {"all", list.c_str(), true},
                                            {"counts", "MAP<INT,DOUBLE>", true}})),
            "ok");
  const auto what = match(nested_row(), make_table({{"p", "STRUCT<x:INT,raw:BINARY>", true},
                                                    {"all", kPoint, true},
                                                    {"counts", "MAP<STRING,DOUBLE>", true}}));
  EXPECT_THAT(what, HasSubstr("field p.x is int64, but INT needs int32"));
  EXPECT_THAT(what, HasSubstr("field p.tags is not in STRUCT<x:INT,raw:BINARY>"));
  EXPECT_THAT(what, HasSubstr("field all is repeated message"));
  EXPECT_THAT(what, HasSubstr("field counts key is int32, but STRING needs string"));
  EXPECT_THAT(match(nested_row(), make_table({{"p", "ARRAY<INT>", true},
                                              {"all", "MAP<STRING,INT>", true},
                                              {"counts", "ARRAY<INT>", true}})),
              HasSubstr("field all is repeated message, but MAP<STRING,INT> needs a map"));
}

// Serializes a message of `row` written as protobuf JSON, through an independent path.
std::string encode(const DescriptorProto& row, const std::string& json) {
  google::protobuf::FileDescriptorProto file;
  file.set_name("f.proto");
  file.set_package("some.pkg");
  auto& copy = *file.add_message_type() = row;
  for (auto& field : *copy.mutable_field()) {  // so that rows without NOT NULL columns can be made
    if (field.label() == FieldDescriptorProto::LABEL_REQUIRED) {
      field.set_label(FieldDescriptorProto::LABEL_OPTIONAL);
    }
  }
  google::protobuf::DescriptorPool pool;
  const auto* built = pool.BuildFile(file);
  google::protobuf::DynamicMessageFactory factory(&pool);
  const std::unique_ptr<google::protobuf::Message> message(
      factory.GetPrototype(built->message_type(0))->New());
  const auto status = google::protobuf::util::JsonStringToMessage(json, message.get());
  EXPECT_TRUE(status.ok()) << status.ToString();
  return message->SerializePartialAsString();
}

TEST(ProtoRows, NestedColumnsAreStoredAsTheJsonTextAJsonClientSends) {
  const std::string list = std::string("ARRAY<") + kPoint + ">";
  const auto table = make_table(
      {{"p", kPoint, true}, {"all", list.c_str(), true}, {"counts", "MAP<INT,DOUBLE>", true}});
  const std::string p = R"({"x":-5,"raw":"aGk=","tags":["a\"b","c"]})";
  const std::string record = R"({"p":)" + p + R"(,"all":[)" + p + R"(,{}],"counts":{"7":0.5}})";
  const auto row = nested_row();
  auto decoder = make_proto_decoder(row.SerializeAsString(), table);
  ASSERT_TRUE(decoder) << decoder.error().what;
  std::vector<Value> from_proto, from_json;
  EXPECT_EQ((*decoder)->decode(encode(row, record), from_proto), std::nullopt);
  EXPECT_EQ(make_json_decoder(table)->decode(record, from_json), std::nullopt);
  EXPECT_EQ(from_proto, from_json);
  EXPECT_EQ(show(from_proto[0]), "'" + p + "'");
}

TEST(ProtoRows, ScalarsArriveInTableOrderAndAbsentOnesAreNull) {
  const auto table = make_table({{"a", "BIGINT", false},
                                 {"b", "DOUBLE", true},
                                 {"c", "STRING", true},
                                 {"d", "BINARY", true},
                                 {"e", "BOOLEAN", true},
                                 {"f", "FLOAT", true},
                                 {"g", "DATE", true}});
  DescriptorProto row;  // another order than the table's, without b
  add_field(row, "g", FieldDescriptorProto::TYPE_INT32);
  add_field(row, "c", FieldDescriptorProto::TYPE_STRING);
  add_field(row, "d", FieldDescriptorProto::TYPE_BYTES);
  add_field(row, "a", FieldDescriptorProto::TYPE_INT64, true);
  add_field(row, "e", FieldDescriptorProto::TYPE_BOOL);
  add_field(row, "f", FieldDescriptorProto::TYPE_FLOAT);
  auto decoder = make_proto_decoder(row.SerializeAsString(), table);
  ASSERT_TRUE(decoder) << decoder.error().what;
  row.set_name("Row");
  std::vector<Value> cells;
  const auto record = encode(row, R"({"a":"-1","c":"x","d":"aGk=","e":true,"f":0.5})");
  ASSERT_EQ((*decoder)->decode(record, cells), std::nullopt);
  std::string shown;
  for (const auto& cell : cells) shown += show(cell) + " ";
  EXPECT_EQ(shown, "-1 NULL 'x' x'hi' 1 0.5 NULL ");
  cells.clear();
  ASSERT_EQ((*decoder)->decode(encode(row, R"({"a":"2"})"), cells), std::nullopt);
  EXPECT_EQ(show(cells[2]), "NULL");  // nothing of the row before is left
}

TEST(ProtoRows, WhatDoesNotFitIsRefusedAndTheColumnNamed) {
  const auto table = make_table({{"id", "BIGINT", false},
                                 {"t", "TINYINT", true},
                                 {"s", "VARCHAR(2)", true},
                                 {"n", "DECIMAL(4,2)", true},
                                 {"v", "VARIANT", true}});
  DescriptorProto row;
  row.set_name("Row");
  add_field(row, "id", FieldDescriptorProto::TYPE_INT64, true);
  add_field(row, "t", FieldDescriptorProto::TYPE_INT32);
  add_field(row, "s", FieldDescriptorProto::TYPE_STRING);
  add_field(row, "n", FieldDescriptorProto::TYPE_STRING);
  add_field(row, "v", FieldDescriptorProto::TYPE_STRING);
  auto decoder = make_proto_decoder(row.SerializeAsString(), table);
  ASSERT_TRUE(decoder) << decoder.error().what;
  const auto decode = [&](const std::string& record) {
    std::vector<Value> cells;
    const auto reason = (*decoder)->decode(record, cells);
    EXPECT_EQ(cells.empty(), reason.has_value());
    return reason.value_or("ok");
  };
  EXPECT_EQ(decode(encode(row, R"({"id":"1","t":-128,"s":"ab","n":"1.5","v":"[]"})")), "ok");
  EXPECT_THAT(decode(encode(row, R"({"t":1})")), HasSubstr("column id: missing"));
  EXPECT_THAT(decode(encode(row, R"({"id":"1","t":128})")), HasSubstr("column t (TINYINT): 128"));
  EXPECT_THAT(decode(encode(row, R"({"id":"1","s":"abc"})")), HasSubstr("column s (VARCHAR(2))"));
  EXPECT_THAT(decode(encode(row, R"({"id":"1","n":"x"})")), HasSubstr("column n (DECIMAL(4,2))"));
  EXPECT_THAT(decode(encode(row, R"({"id":"1","v":"{"})")), HasSubstr("column v (VARIANT)"));
  EXPECT_THAT(decode(std::string("\x08\x01\x1A\x01\xFF", 5)), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(decode("\x08"), HasSubstr("not a valid protobuf message"));
  EXPECT_THAT(decode(std::string("\x08\x01\x48\x01", 4)), HasSubstr("field number 9"));
}

}  // namespace
}  // namespace penstock::local
