#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <simdjson.h>

#include "agent/base/varint.h"
#include "agent/codec/row_encoder.h"

namespace penstock::codec {
namespace {

ColumnSpec column(std::string name, std::string_view from, std::string_view as = "") {
  ColumnSpec spec;
  spec.name = std::move(name);
  auto expression = Expression::parse(from);
  EXPECT_TRUE(expression) << from;
  spec.from = *std::move(expression);
  spec.cast = *parse_cast(as);
  return spec;
}

EncoderSpec spec_of(std::vector<ColumnSpec> columns, PayloadFormat format = PayloadFormat::kJson) {
  EncoderSpec spec;
  spec.format = format;
  spec.columns = std::move(columns);
  spec.labels = {{"site", "ber1"}};
  spec.agent_id = "gw-1";
  spec.topic_levels = {{"line", 1}};
  return spec;
}

RowEncoder encoder(EncoderSpec spec) {
  auto made = RowEncoder::make(std::move(spec));
  EXPECT_TRUE(made) << (made ? "" : made.error().what);
  return *std::move(made);
}

const std::vector<AttributeView> kAttributes = {{"unit", "bar"}, {"unit", "psi"}, {"bad", "\xff"}};

RecordView record(std::string_view payload) {
  RecordView view;
  view.source = "plc";
  view.topic = "plant/l1/telemetry";
  view.payload = payload;
  view.attributes = kAttributes;
  view.received_at_us = 1'714'566'600'000'001;
  return view;
}

const RowMeta kMeta = {"gw-1/7/3", "7", 42, 3};

// The only row in `out`, which must be exactly one frame.
std::string unframed(std::string_view out) {
  EXPECT_TRUE(out.starts_with('\x0a'));
  out.remove_prefix(1);
  const auto row = take_bytes(out);
  EXPECT_TRUE(row && out.empty());
  return row ? std::string(*row) : "";
}

// The row, or "refused: " and the reason.
std::string row(RowEncoder& rows, std::string_view payload) {
  std::string out;
  const auto encoded = rows.encode(record(payload), kMeta, out);
  if (encoded) {
    EXPECT_EQ(*encoded, 1u);
    return unframed(out);
  }
  EXPECT_EQ(encoded.error().kind, ErrorKind::kRejected);
  EXPECT_TRUE(out.empty());
  return "refused: " + encoded.error().what;
}

std::string row(EncoderSpec spec, std::string_view payload) {
  RowEncoder rows = encoder(std::move(spec));
  return row(rows, payload);
}

// The value that one column gets.
std::string value(std::string_view from, std::string_view payload, std::string_view as = "",
                  PayloadFormat format = PayloadFormat::kJson) {
  std::string whole = row(spec_of({column("c", from, as)}, format), payload);
  if (!whole.starts_with("{\"c\":")) return whole;
  return whole.substr(5, whole.size() - 6);
}

TEST(RowEncoder, RowsAreFramedAsFieldOneOfABatch) {
  RowEncoder rows = encoder(spec_of({column("v", "${payload.v}")}));
  std::string out = "before";
  ASSERT_TRUE(rows.encode(record(R"({"v": 1})"), kMeta, out));
  ASSERT_TRUE(rows.encode(record(R"({"v": "ab"})"), kMeta, out));
  EXPECT_EQ(out, std::string("before\x0a\x07{\"v\":1}\x0a\x0a{\"v\":\"ab\"}"));

  std::string large = "{\"v\":\"" + std::string(300, 'x') + "\"}";
  out.clear();
  ASSERT_TRUE(rows.encode(record(large), kMeta, out));
  EXPECT_EQ(out, std::string("\x0a\xb4\x02") + large);  // 308 = 0x34 + 2 * 128
}

TEST(RowEncoder, ColumnsStandInTheOrderOfTheSpec) {
  EXPECT_EQ(
      row(spec_of({column("z", "${payload.a}"), column("a", "${payload.z}"), column("m", "x")}),
          R"({"a":1,"z":2})"),
      R"({"z":1,"a":2,"m":"x"})");
}

TEST(RowEncoder, SingleReferencesKeepTheTypeOfTheValue) {
  const std::string_view payload =
      R"({"n":1.50,"b":12345678901234567890123,"t":true,"z":null,"s":"x\u00fc","o":{"k" : [1, 2]},"a":[ ]})";
  EXPECT_EQ(value("${payload.n}", payload), "1.50");
  EXPECT_EQ(value("${payload.b}", payload), "12345678901234567890123");
  EXPECT_EQ(value("${payload.t}", payload), "true");
  EXPECT_EQ(value("${payload.z}", payload), "null");
  EXPECT_EQ(value("${payload.s}", payload), R"("x\u00fc")");
  EXPECT_EQ(value("${payload.o}", payload), R"({"k":[1,2]})");
  EXPECT_EQ(value("${payload.o.k[1]}", payload), "2");
  EXPECT_EQ(value("${payload.a}", payload), "[]");
}

TEST(RowEncoder, TextAroundReferencesMakesText) {
  const std::string_view payload = R"({"n":1.50,"t":true,"s":"a\"b","o":{"k":1},"z":null})";
  EXPECT_EQ(value("${topic.line}-${payload.n}", payload), R"("l1-1.50")");
  EXPECT_EQ(value("${payload.s}/${payload.t}", payload), R"("a\"b/true")");
  EXPECT_EQ(value("v=${payload.o}", payload), R"("v={\"k\":1}")");
  EXPECT_EQ(value("${payload.n}${payload.n}", "{\"n\":1}", "int"), "11");
  EXPECT_EQ(value("x${payload.none}", payload), "null");
  EXPECT_EQ(value("x${payload.z}", payload), "null");
  EXPECT_EQ(value("$${x}", payload), R"("${x}")");
  EXPECT_EQ(value("${meta.seq}/${meta.lane}", payload), R"("42/3")");
  EXPECT_EQ(value("got ${payload}", "{ }"), R"("got { }")");
}

TEST(RowEncoder, TakesWhatSurroundsThePayload) {
  EXPECT_EQ(value("${topic}", "{}"), R"("plant/l1/telemetry")");
  EXPECT_EQ(value("${topic[0]}", "{}"), R"("plant")");
  EXPECT_EQ(value("${topic[9]}", "{}"), "null");
  EXPECT_EQ(value("${topic.line}", "{}"), R"("l1")");
  EXPECT_EQ(value("${source}", "{}"), R"("plc")");
  EXPECT_EQ(value("${attr.unit}", "{}"), R"("bar")");  // the first of two
  EXPECT_EQ(value("${attr.none}", "{}"), "null");
  EXPECT_EQ(value("${label.site}", "{}"), R"("ber1")");
  EXPECT_EQ(value("${agent.id}", "{}"), R"("gw-1")");
  EXPECT_NE(value("${attr.bad}", "{}").find("column 'c': ${attr.bad} is '\\xff', expected UTF-8"),
            std::string::npos);
}

TEST(RowEncoder, KnowsTheIdentityOfTheRecord) {
  EXPECT_EQ(value("${meta.origin}", "{}"), R"("gw-1/7/3")");
  EXPECT_EQ(value("${meta.seq}", "{}"), "42");
  EXPECT_EQ(value("${meta.sub}", "{}"), "0");
  EXPECT_EQ(value("${meta.agent_id}", "{}"), R"("gw-1")");
  EXPECT_EQ(value("${meta.epoch}", "{}"), R"("7")");
  EXPECT_EQ(value("${meta.lane}", "{}"), "3");
  EXPECT_EQ(value("${meta.source}", "{}"), R"("plc")");
  EXPECT_EQ(value("${meta.topic}", "{}"), R"("plant/l1/telemetry")");
  EXPECT_EQ(value("${meta.received_at}", "{}"), "1714566600000001");
  EXPECT_EQ(value("${meta.received_at}", "{}", "timestamp"), "1714566600000001");
  EXPECT_EQ(value("${meta.received_at}", "{}", "date"),
            "refused: column 'c': ${meta.received_at} is "
            "1714566600000001, expected a whole number of days since 1970-01-01; for seconds and "
            "finer set `unit`");
  EXPECT_EQ(value("${meta.time_quality}", "{}"), R"("set")");

  RowEncoder rows =
      encoder(spec_of({column("c", "${meta.time_quality}"), column("s", "${meta.seq}")}));
  RecordView unset = record("{}");
  unset.time_quality = TimeQuality::kUnset;
  RowMeta last = kMeta;
  last.seq = UINT64_MAX;
  std::string out;
  ASSERT_TRUE(rows.encode(unset, last, out));
  EXPECT_EQ(unframed(out), R"({"c":"unset","s":18446744073709551615})");
}

TEST(RowEncoder, MissingGivesTheDefaultAndNullStaysNull) {
  ColumnSpec defaulted = column("c", "${payload.v}", "double");
  defaulted.default_json = "-1";
  RowEncoder rows = encoder(spec_of({defaulted}));
  EXPECT_EQ(row(rows, R"({"v":2})"), R"({"c":2})");
  EXPECT_EQ(row(rows, R"({})"), R"({"c":-1})");
  EXPECT_EQ(row(rows, R"({"v":null})"), R"({"c":null})");
  EXPECT_EQ(row(rows, R"([])"), R"({"c":-1})");

  defaulted.default_json = "null";
  EXPECT_EQ(row(spec_of({defaulted}), "{}"), R"({"c":null})");

  ColumnSpec time = column("c", "${payload.v}", "timestamp");
  time.default_json = R"("1970-01-01T00:00:01Z")";
  EXPECT_EQ(row(spec_of({time}), "{}"), R"({"c":1000000})");

  ColumnSpec object = column("c", "${payload.v}", "variant");
  object.default_json = R"({ "a" : 1 })";
  EXPECT_EQ(row(spec_of({object}), "{}"), R"({"c":"{\"a\":1}"})");
}

TEST(RowEncoder, OnErrorDecidesBetweenTheRecordAndTheValue) {
  ColumnSpec reject = column("v", "${payload.v}", "int");
  EXPECT_EQ(row(spec_of({column("a", "x"), reject}), R"({"v":"abc"})"),
            "refused: column 'v': ${payload.v} is 'abc', expected a whole number in 32 bits");

  ColumnSpec null = reject;
  null.on_error = OnError::kNull;
  null.default_json = "7";  // is for missing values, not for bad ones
  RowEncoder rows = encoder(spec_of({column("a", "x"), null, column("b", "y")}));
  EXPECT_EQ(rows.values_nulled(), 0u);
  EXPECT_EQ(row(rows, R"({"v":"abc"})"), R"({"a":"x","v":null,"b":"y"})");
  EXPECT_EQ(rows.values_nulled(), 1u);
  EXPECT_EQ(row(rows, R"({"v":5})"), R"({"a":"x","v":5,"b":"y"})");
  EXPECT_EQ(row(rows, R"({})"), R"({"a":"x","v":7,"b":"y"})");
  EXPECT_EQ(rows.values_nulled(), 1u);

  ColumnSpec decimal = column("v", "${payload.v}", "decimal(3,1)");
  decimal.on_error = OnError::kNull;
  EXPECT_EQ(row(spec_of({decimal}), R"({"v":1.23})"),
            R"({"v":null})");  // no half-written value stays
}

TEST(RowEncoder, ARefusedRecordLeavesNoTrace) {
  RowEncoder rows =
      encoder(spec_of({column("a", "${payload.a}"), column("v", "${payload.v}", "int")}));
  std::string out = "kept";
  EXPECT_FALSE(rows.encode(record(R"({"a":"first","v":"x"})"), kMeta, out));
  EXPECT_FALSE(rows.encode(record("nonsense"), kMeta, out));
  EXPECT_EQ(out, "kept");
  ASSERT_TRUE(rows.encode(record(R"({"v":1})"), kMeta, out));
  EXPECT_EQ(out, std::string("kept\x0a\x10{\"a\":null,\"v\":1}"));
}

TEST(RowEncoder, WholePayloadAsTextIsByteForByte) {
  const std::string_view payload = "{ \"a\" :\t1.50 }\n";
  EXPECT_EQ(value("${payload}", payload), R"("{ \"a\" :\t1.50 }\n")");
  EXPECT_EQ(value("${payload}", payload, "string"), R"("{ \"a\" :\t1.50 }\n")");
  EXPECT_EQ(value("${payload}", payload, "variant"), R"("{ \"a\" :\t1.50 }\n")");
  EXPECT_EQ(value("${payload}", payload, "binary"), R"("eyAiYSIgOgkxLjUwIH0K")");
}

// The table reads it, as it does a field; a text is nobody's to read.
TEST(RowEncoder, AWholePayloadAsVariantIsCheckedAsAFieldIs) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"a":1,"b":[{"c":1,"c":2}]})", "has the key 'c' twice"},
      {R"({"a":1,"\u0061":1})", "has the key 'a' twice"},
      {R"([1e999])", "beyond the range of a double"},
      {" -1e309\n", "expected a number within the range of a double"},
  };
  for (const auto& [payload, problem] : cases) {
    EXPECT_NE(value("${payload}", payload, "variant").find(problem), std::string::npos)
        << value("${payload}", payload, "variant");
    EXPECT_EQ(value("${payload}", payload, "string").find("refused"), std::string::npos) << payload;
  }
}

TEST(RowEncoder, APayloadThatIsOneValueCanBeCast) {
  EXPECT_EQ(value("${payload}", " 21.50\n", "double"), "21.50");
  EXPECT_EQ(value("${payload}", "\"2024-05-01\"", "date"), "19844");
  EXPECT_EQ(value("${payload}", "true", "boolean"), "true");
  EXPECT_EQ(value("${payload}", "null", "int"), "null");
  EXPECT_EQ(value("${payload.a}", "17"), "null");
  EXPECT_NE(value("${payload}", "{\"a\":1}", "int").find("is {\"a\":1}, expected a whole number"),
            std::string::npos);
}

TEST(RowEncoder, RawPayloadsAreNotParsed) {
  const auto raw = [](std::string_view from, std::string_view payload, std::string_view as) {
    return value(from, payload, as, PayloadFormat::kRaw);
  };
  EXPECT_EQ(raw("${payload}", "<130>not { json", ""), R"("<130>not { json")");
  EXPECT_EQ(raw("${payload}", "12.5\r\n", "double"), "12.5");
  EXPECT_EQ(raw("${payload}", std::string_view("\x00\xff", 2), "binary"), R"("AP8=")");
  EXPECT_EQ(raw("line ${payload}", "x", ""), R"("line x")");
  EXPECT_EQ(raw("${payload}", "", ""), R"("")");
  EXPECT_EQ(raw("${payload}", "ab\xff", ""),
            "refused: column 'c': ${payload} is 'ab\\xff', expected UTF-8 text; use `as: binary` "
            "for data that is "
            "not text");
}

TEST(RowEncoder, AutoPassesTheObjectOn) {
  RowEncoder rows = encoder(spec_of({}));
  EXPECT_EQ(row(rows, " { \"a\" : 1.50 , \"b\" : [ 1 , { \"c\" : null } ] , \"d\" : \"x y\" }\n"),
            R"({"a":1.50,"b":[1,{"c":null}],"d":"x y"})");
  EXPECT_EQ(row(rows, "{}"), "{}");
  for (const auto* payload : {"[{\"a\":1}]", "1", "\"a\"", "null", "true"}) {
    const std::string got = row(rows, payload);
    EXPECT_TRUE(got.starts_with("refused: payload is ")) << got;
    EXPECT_NE(got.find("only an object"), std::string::npos) << got;
  }
  EXPECT_NE(row(rows, R"({"a":1,"a":2})").find("has the key 'a' twice"), std::string::npos);
  EXPECT_NE(row(rows, R"({"a":{"b":1,"b":1}})").find("has the key 'b' twice"), std::string::npos);
  EXPECT_NE(row(rows, "{\"a\":\"\xff\"}").find("payload is not UTF-8 at offset 6"),
            std::string::npos);
  EXPECT_NE(row(rows, "{\"a\":}").find("payload is not valid JSON"), std::string::npos);
  EXPECT_NE(row(rows, "").find("payload is empty"), std::string::npos);
}

TEST(RowEncoder, FieldsWithoutColumnAreNoError) {
  for (const auto unknown :
       {UnknownFields::kReject, UnknownFields::kIgnore, UnknownFields::kRescue}) {
    EncoderSpec spec = spec_of({column("a", "${payload.a}")});
    spec.unknown_fields = unknown;
    EXPECT_EQ(row(std::move(spec), R"({"a":1,"b":{"c":2}})"), R"({"a":1})");
  }
}

TEST(RowEncoder, SizesAreLimited) {
  RowEncoder rows = encoder(spec_of({column("c", "${payload}")}, PayloadFormat::kRaw));
  const std::string too_large(RowEncoder::kMaxPayloadBytes + 1, 'x');
  EXPECT_NE(row(rows, too_large).find("payload has 10485761 bytes, at most 10485760"),
            std::string::npos);

  const size_t around = std::string_view(R"({"c":""})").size();
  const std::string fits(RowEncoder::kMaxRowBytes - around, 'x');
  std::string out;
  ASSERT_TRUE(rows.encode(record(fits), kMeta, out));
  EXPECT_EQ(unframed(out).size(), RowEncoder::kMaxRowBytes);
  EXPECT_NE(row(rows, fits + "x").find("the row has more than 10420224 bytes"), std::string::npos);

  RowEncoder twice =
      encoder(spec_of({column("c", "${payload}"), column("d", "${payload}")}, PayloadFormat::kRaw));
  EXPECT_NE(row(twice, fits).find("the row has more than"), std::string::npos);

  // A large payload before does not matter afterwards.
  RowEncoder json = encoder(spec_of({}));
  const std::string large = "{\"a\":\"" + std::string(1'000'000, 'x') + "\"}";
  EXPECT_EQ(row(json, large), large);
  EXPECT_EQ(row(json, R"({"a":1})"), R"({"a":1})");
}

TEST(RowEncoder, DepthIsLimited) {
  RowEncoder rows = encoder(spec_of({}));
  const auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_EQ(row(rows, nested(RowEncoder::kMaxDepth)), nested(RowEncoder::kMaxDepth));
  EXPECT_NE(row(rows, nested(RowEncoder::kMaxDepth + 1)).find("nested deeper than 100"),
            std::string::npos);
}

TEST(RowEncoder, CanBeMoved) {
  RowEncoder first = encoder(spec_of({column("v", "${payload.v}")}));
  RowEncoder second = std::move(first);
  EXPECT_EQ(row(second, R"({"v":1})"), R"({"v":1})");
}

// What make() says about a spec.
std::string refusal(EncoderSpec spec) {
  const auto made = RowEncoder::make(std::move(spec));
  EXPECT_FALSE(made);
  if (made) return "";
  EXPECT_EQ(made.error().kind, ErrorKind::kRejected);
  return made.error().what;
}

TEST(RowEncoder, MistakesShowBeforeTheFirstRecord) {
  const std::vector<std::pair<ColumnSpec, std::string_view>> cases = {
      {column("", "x"), "a name is one or more of [A-Za-z0-9_]"},
      {column("a b", "x"), "a name is one or more of [A-Za-z0-9_]"},
      {column("c", "${nope}"), "${nope} does not exist"},
      {column("c", "${topic.cell}"), "no level {cell}"},
      {column("c", "${topic[0][1]}"), "name one level"},
      {column("c", "${label.none}"), "agent.labels has no `none`"},
      {column("c", "${label}"), "${label} does not exist"},
      {column("c", "${meta.nope}"), "meta has: origin, seq, sub, agent_id"},
      {column("c", "${meta}"), "meta has:"},
      {column("c", "${source.x}"), "does not exist"},
      {column("c", "${attr}"), "does not exist"},
      {column("c", "${agent.name}"), "does not exist"},
      {column("c", "${env:HOME}"), "when the configuration is loaded"},
      {column("c", "abc", "int"), "'abc' is 'abc', expected a whole number"},
      {column("c", "${label.site}", "double"), "is 'ber1', expected a number"},
  };
  for (const auto& [bad, want] : cases) {
    const std::string got = refusal(spec_of({bad}));
    EXPECT_NE(got.find(want), std::string::npos) << got;
    EXPECT_NE(got.find("column '" + bad.name + "'"), std::string::npos) << got;
  }
}

TEST(RowEncoder, RepeatedColumnsAreRefusedInAnyCase) {
  EXPECT_NE(refusal(spec_of({column("ts", "x"), column("Ts", "y")}))
                .find("column 'Ts': the name is used twice"),
            std::string::npos);
}

TEST(RowEncoder, RawHasNoFields) {
  EXPECT_NE(refusal(spec_of({column("c", "${payload.x}")}, PayloadFormat::kRaw))
                .find("a raw payload has no fields"),
            std::string::npos);
  EXPECT_NE(refusal(spec_of({}, PayloadFormat::kRaw)).find("format raw needs columns"),
            std::string::npos);
}

TEST(RowEncoder, DefaultsAndUnitsAreChecked) {
  ColumnSpec bad = column("c", "${payload.v}", "int");
  bad.default_json = R"("x")";
  EXPECT_NE(refusal(spec_of({bad})).find("default is 'x', expected a whole number"),
            std::string::npos);
  bad.default_json = "{";
  EXPECT_NE(refusal(spec_of({bad})).find("default '{' is not valid JSON"), std::string::npos);
  ColumnSpec unit = column("c", "${payload.v}", "int");
  unit.unit = TimeUnit::kMillis;
  EXPECT_NE(refusal(spec_of({unit})).find("`unit` is for"), std::string::npos);
}

TEST(RowEncoder, ATableHasAtMost2000Columns) {
  std::vector<ColumnSpec> columns;
  for (int i = 0; i < 2001; ++i) columns.push_back(column("c" + std::to_string(i), "x"));
  EXPECT_NE(refusal(spec_of(columns)).find("at most 2000"), std::string::npos);
  columns.pop_back();
  EXPECT_TRUE(RowEncoder::make(spec_of(columns)));
}

TEST(RowEncoder, EveryRowIsOneJsonObjectWhateverComesIn) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<ColumnSpec> columns;
  for (const auto* as : {"", "string", "boolean", "int", "bigint", "float", "double",
                         "decimal(9,3)", "timestamp", "date", "binary", "binary(hex)", "variant"}) {
    columns.push_back(column("c" + std::to_string(columns.size()), "${payload}", as));
    columns.back().on_error = OnError::kNull;
  }
  RowEncoder rows = encoder(spec_of(columns, PayloadFormat::kRaw));
  simdjson::dom::parser parser;
  const std::string_view alphabet = "0123456789eE+-.:TZabcdef\"\\{}[]\xc3\xbc\xff\n\x01 ";
  for (int i = 0; i < 5000; ++i) {
    std::string payload(random() % 12, ' ');
    for (char& c : payload) c = alphabet[random() % alphabet.size()];
    const std::string got = row(rows, payload);
    simdjson::dom::object object;
    ASSERT_EQ(parser.parse(got).get_object().get(object), simdjson::SUCCESS) << got;
    ASSERT_EQ(object.size(), columns.size()) << got;
  }
}

}  // namespace
}  // namespace penstock::codec
