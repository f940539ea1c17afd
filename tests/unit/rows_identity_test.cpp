// Goal: what names a record is in its row wherever the table has a place for it, in both encodings.
// Method: rows made by the agent, read by the local server's decoders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/base/varint.h"
#include "agent/codec/row_encoder.h"
#include "agent/codec/table_fit.h"
#include "agent/codec/type_text.h"
#include "tests/zerobus_local/json_rows.h"
#include "tests/zerobus_local/proto_rows.h"

namespace penstock::codec {
namespace {

using Columns = std::vector<std::pair<std::string, std::string>>;

TableSchema table_of(const Columns& columns) {
  TableSchema table;
  for (const auto& [name, type] : columns) {
    const auto position = static_cast<uint32_t>(table.columns.size());
    table.columns.push_back({name, *parse_type_text(type), true, position});
  }
  return table;
}

std::string cell_text(const local::Value& cell) {
  if (const auto* number = std::get_if<int64_t>(&cell)) return std::to_string(*number);
  if (const auto* text = std::get_if<std::string>(&cell)) return "'" + *text + "'";
  return std::holds_alternative<double>(cell) ? "real" : "NULL";
}

// The row of a record that came before the clock was set, as it lands: "a | b | ...".
std::string landed(const EncoderSpec& spec, const TableSchema& table, RowForm form) {
  std::vector<local::Column> columns;
  for (const auto& column : table.columns)
    columns.push_back({column.name, *local::parse_type(to_string(column.type)), column.nullable});
  const auto there = std::make_shared<local::Table>("main.iot.t", std::move(columns));
  auto encoder = RowEncoder::make(spec, table, form);
  if (!encoder) return encoder.error().what;
  RecordView record;
  record.payload = R"({"v":7,"_seq":-1,"_origin":"forged","_sub":5})";
  record.received_at_us = 1'700'000'000'000'001;
  record.time_quality = TimeQuality::kUnset;
  std::string out;
  const auto encoded = encoder->encode(record, {"gw/e1/3", "e1", 42, 3}, out);
  if (!encoded) return encoded.error().what;
  std::string_view rest(out);
  rest.remove_prefix(1);
  std::vector<local::Value> cells;
  const auto row = *take_bytes(rest);
  std::optional<std::string> reason;
  if (form == RowForm::kProto) {
    auto decoder = local::make_proto_decoder(encoder->descriptor(), there);
    if (!decoder) return decoder.error().what;
    reason = (*decoder)->decode(row, cells);
  } else {
    reason = local::make_json_decoder(there)->decode(row, cells);
  }
  if (reason) return *reason;
  std::string text;
  for (const auto& cell : cells) text += (text.empty() ? "" : " | ") + cell_text(cell);
  return text;
}

ColumnSpec filled(const std::string& name, const std::string& from) {
  ColumnSpec column;
  column.name = name;
  column.from = *Expression::parse(from);
  return column;
}

class Identity : public testing::TestWithParam<RowForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, Identity, testing::Values(RowForm::kJson, RowForm::kProto),
                         [](const auto& param) {
                           return param.param == RowForm::kJson ? "Json" : "Proto";
                         });

const Columns kTable = {
    {"v", "bigint"}, {"_origin", "string"},         {"_seq", "bigint"},
    {"_sub", "int"}, {"_ingested_at", "timestamp"}, {"_time_quality", "string"}};
constexpr char kNamed[] = "7 | 'gw/e1/3' | 42 | 0 | 1700000000000001 | 'unset'";

TEST_P(Identity, FillsTheTablesColumnsByNameWhateverThePayloadClaims) {
  EncoderSpec spec;
  spec.unknown_fields = UnknownFields::kIgnore;
  EXPECT_EQ(landed(spec, table_of(kTable), GetParam()), kNamed);
}

TEST_P(Identity, IsFilledBesideColumnsThatTheConfigurationNames) {
  EncoderSpec spec;
  spec.columns = {filled("v", "${payload.v}")};
  EXPECT_EQ(landed(spec, table_of(kTable), GetParam()), kNamed);
  spec.columns.push_back(filled("_SUB", "9"));  // what is said counts
  EXPECT_EQ(landed(spec, table_of(kTable), GetParam()),
            "7 | 'gw/e1/3' | 42 | 9 | 1700000000000001 | 'unset'");
}

TEST_P(Identity, IsFilledByColumnsWhereTheTableIsOnlyKnownFromThem) {
  EncoderSpec spec;
  for (const auto& [name, from] :
       std::map<std::string, std::string>{{"_origin", "${meta.origin}"},
                                          {"_seq", "${meta.seq}"},
                                          {"_sub", "${meta.sub}"},
                                          {"_ingested_at", "${meta.received_at}"},
                                          {"_time_quality", "${meta.time_quality}"}}) {
    spec.columns.push_back(filled(name, from));
  }
  const auto table = schema_of_columns(spec.columns);
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(landed(spec, *table, GetParam()), "1700000000000001 | 'gw/e1/3' | 42 | 0 | 'unset'");
}

TEST_P(Identity, AColumnOfThatNameWithAnotherTypeIsLeftToThePayload) {
  EncoderSpec spec;
  spec.unknown_fields = UnknownFields::kIgnore;
  const auto table = table_of({{"_seq", "double"}, {"_origin", "string"}});
  EXPECT_EQ(landed(spec, table, GetParam()), "real | 'gw/e1/3'");
  spec.columns = {filled("_origin", "${meta.origin}")};
  EXPECT_EQ(landed(spec, table, GetParam()), "NULL | 'gw/e1/3'");
}

}  // namespace
}  // namespace penstock::codec
