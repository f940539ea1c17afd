// Goal: a table's schema is read exactly, in both forms Unity Catalog gives it, whatever cannot be
// written to is said so, and hostile text ends in an error. Method: pure tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/codec/row_encoder.h"
#include "agent/codec/table_fit.h"
#include "agent/codec/table_text.h"
#include "agent/codec/type_text.h"
#include "agent/codec/unity_table.h"

namespace penstock::codec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string read_text(std::string_view text) {
  const auto type = parse_type_text(text);
  return type ? to_string(*type) : "refused: " + type.error().what;
}

std::string read_json(std::string_view json) {
  const auto type = parse_type_json(json);
  return type ? to_string(*type) : "refused: " + type.error().what;
}

TEST(TypeText, EveryTypeOfTheServiceIsRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"tinyint", "TINYINT"},
      {"byte", "TINYINT"},
      {"short", "SMALLINT"},
      {"integer", "INT"},
      {"LONG", "BIGINT"},
      {"real", "FLOAT"},
      {"Double", "DOUBLE"},
      {"boolean", "BOOLEAN"},
      {"string", "STRING"},
      {"varchar(20)", "VARCHAR(20)"},
      {"binary", "BINARY"},
      {"date", "DATE"},
      {"timestamp", "TIMESTAMP"},
      {"timestamp_ntz", "TIMESTAMP_NTZ"},
      {"decimal", "DECIMAL(10,0)"},
      {"decimal(12)", "DECIMAL(12,0)"},
      {" decimal ( 38 , 38 ) ", "DECIMAL(38,38)"},
      {"variant", "VARIANT"},
      {"array<int>", "ARRAY<INT>"},
      {"map<string, double>", "MAP<STRING,DOUBLE>"},
      {"struct<a:int,b:array<string>>", "STRUCT<a:INT,b:ARRAY<STRING>>"},
      {"struct<`a`:int NOT NULL, B : struct<c:decimal(10,2)>>",
       "STRUCT<a:INT NOT NULL,B:STRUCT<c:DECIMAL(10,2)>>"},
      {"map<int,struct<not:map<boolean,array<int>>>>",
       "refused: the service takes no ARRAY "
       "directly in a MAP; a STRUCT in between is "
       "fine"},
  };
  for (const auto& [text, type] : cases) EXPECT_EQ(read_text(text), type) << text;
}

TEST(TypeText, WhatIsWrongIsSaidAndWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected a type at offset 0, found its end"},
      {"interval day", "the service does not take columns of type interval"},
      {"char(5)", "the service does not take columns of type char"},
      {"int int", "expected the end of the type at offset 4, found 'int'"},
      {"array<int", "expected '>' at offset 9, found its end"},
      {"map<int>", "expected ',' at offset 7, found '>'"},
      {"map<double,int>", "the key of a MAP is an integer, BOOLEAN or STRING, not DOUBLE"},
      {"array<array<int>>", "takes no ARRAY directly in an ARRAY"},
      {"array<map<int,int>>", "takes no MAP directly in an ARRAY"},
      {"struct<>", "expected a field name at offset 7"},
      {"struct<a int>", "expected ':' at offset 9"},
      {"struct<a:int,A:int>", "has the field 'A' twice"},
      {"struct<`a b`:int>", "the field name 'a b' is not made of"},
      {"struct<`a:int>", "expected '`'"},
      {"struct<a:int not>", "expected NULL"},
      {"decimal(39,0)", "1 <= p <= 38"},
      {"decimal(5,6)", "0 <= s <= p"},
      {"decimal(-1)", "expected a number"},
      {"decimal(99999999999999999999)", "expected a number"},
      {"varchar", "expected '('"},
      {"varchar(0)", "at least 1"},
  };
  for (const auto& [text, problem] : cases) {
    EXPECT_THAT(read_text(text), HasSubstr(problem)) << text;
    EXPECT_THAT(read_text(text), HasSubstr("refused: ")) << text;
  }
}

TEST(TypeText, HostileDepthAndSizeEndInAnError) {
  std::string deep;
  for (int i = 0; i < 50'000; ++i) deep += "array<struct<a:";
  EXPECT_THAT(read_text(deep), HasSubstr("more than 100 levels"));
  std::string just_right;
  for (int i = 0; i < 49; ++i) just_right += "array<struct<a:";
  just_right += "int";
  for (int i = 0; i < 49; ++i) just_right += ">>";
  EXPECT_TRUE(parse_type_text(just_right));
  std::string wide = "struct<";
  for (int i = 0; i < 30'000; ++i) wide += "f" + std::to_string(i) + ":int,";
  EXPECT_THAT(read_text(wide), HasSubstr("more than 20000 parts"));
  EXPECT_THAT(read_text(std::string(2 << 20, ' ')), HasSubstr("1 MiB"));
}

TEST(TypeJson, SparksFormIsRead) {
  EXPECT_EQ(read_json(R"("long")"), "BIGINT");
  EXPECT_EQ(read_json(R"j({"name":"c","type":"decimal(10,2)","nullable":true,"metadata":{}})j"),
            "DECIMAL(10,2)");
  EXPECT_EQ(read_json(R"({"type":"array","elementType":"integer","containsNull":true})"),
            "ARRAY<INT>");
  EXPECT_EQ(
      read_json(
          R"({"name":"m","type":{"type":"map","keyType":"string","valueType":{"type":"struct","fields":
          [{"name":"a","type":"byte","nullable":false},{"name":"type","type":"timestamp_ntz"}]}}})"),
      "MAP<STRING,STRUCT<a:TINYINT NOT NULL,type:TIMESTAMP_NTZ>>");
}

TEST(TypeJson, WhatIsWrongIsSaid) {
  const std::pair<std::string, const char*> cases[] = {
      {"", "is not JSON"},
      {"7", "neither a name nor an object"},
      {R"("array<int>")", "names a type 'array<int>'"},
      {R"("void")", "does not take columns of type void"},
      {R"({"type":"array"})", "lacks elementType"},
      {R"({"type":"map","keyType":"string"})", "lacks valueType"},
      {R"({"type":"struct"})", "lacks fields"},
      {R"({"type":"struct","fields":[]})", "at least one field"},
      {R"({"type":"struct","fields":[7]})", "is no object"},
      {R"({"type":"udt"})", "does not take columns of type udt"},
      {R"({"type":"array","elementType":{"type":"array","elementType":"int"}})",
       "takes no ARRAY directly"},
  };
  for (const auto& [json, problem] : cases) EXPECT_THAT(read_json(json), HasSubstr(problem));
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += R"({"type":"struct","fields":[{"name":"a","type":)";
  deep += "\"int\"";
  for (int i = 0; i < 300; ++i) deep += "}]}";
  EXPECT_THAT(read_json(deep), HasSubstr("more than 100 levels"));
  std::string absurd(500'000, '[');
  EXPECT_THAT(read_json(absurd), HasSubstr("refused"));
}

std::string table_json(const std::string& columns, const std::string& more = "") {
  return R"({"full_name":"main.iot.t","table_type":"MANAGED","data_source_format":"DELTA",)" +
         more + R"("columns":[)" + columns + "]}";
}

TEST(UnityTable, ColumnsComeByPositionWithTypeAndNullability) {
  const auto table = parse_unity_table(table_json(
      R"j({"name":"b","type_text":"varchar(7)","type_json":"\"string\"","position":3,"nullable":true},
         {"name":"a","type_text":"bigint","type_name":"LONG","position":0,"nullable":false},
         {"name":"s","type_text":"struct<x:int>","type_json":"{\"name\":\"s\",\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"x\",\"type\":\"integer\",\"nullable\":false}]}}","position":1})j"));
  ;
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(table->full_name, "main.iot.t");
  ASSERT_EQ(table->schema.columns.size(), 3u);
  const auto& columns = table->schema.columns;
  EXPECT_EQ(columns[0].name, "a");
  EXPECT_FALSE(columns[0].nullable);
  EXPECT_EQ(to_string(columns[1].type), "STRUCT<x:INT NOT NULL>");
  EXPECT_TRUE(columns[1].nullable) << "left out means it may be NULL";
  EXPECT_EQ(to_string(columns[2].type), "VARCHAR(7)") << "type_json hides it";
  EXPECT_EQ(columns[2].position, 3u);
  const auto hidden = parse_unity_table(table_json(
      R"j({"name":"s","type_text":"struct<a:array<varchar(3)>>","type_json":"{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"nullable\":false,\"type\":{\"type\":\"array\",\"elementType\":\"string\"}}]}"})j"));
  ASSERT_TRUE(hidden) << hidden.error().what;
  EXPECT_EQ(to_string(hidden->schema.columns[0].type), "STRUCT<a:ARRAY<VARCHAR(3)> NOT NULL>");
  EXPECT_TRUE(table->warnings.empty());
}

// It tells a table that was dropped and created again from one that was altered.
TEST(UnityTable, ItsIdIsReadIfItIsThere) {
  const std::string column = R"({"name":"a","type_text":"int"})";
  const auto table = parse_unity_table(table_json(column, R"("table_id":"0f-1",)"));
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(table->table_id, "0f-1");
  EXPECT_EQ(parse_unity_table(table_json(column))->table_id, "");
  EXPECT_EQ(parse_unity_table(table_json(column, R"("table_id":7,)"))->table_id, "");
}

TEST(UnityTable, WhatTheServiceDoesNotTakeIsWarnedOfOrRefused) {
  const auto table = parse_unity_table(
      R"({"table_type":"EXTERNAL","data_source_format":"PARQUET","columns":[
         {"name":"a","type_text":"int","position":0,"partition_index":0},
         {"name":"i","type_text":"interval day","position":1}]})");
  ASSERT_TRUE(table) << table.error().what;
  EXPECT_EQ(table->schema.columns.size(), 1u);
  EXPECT_THAT(
      table->warnings,
      ElementsAre(HasSubstr("column 'i': the service does not take columns of type "
                            "interval; it is left out and stays NULL"),
                  HasSubstr("is EXTERNAL"), HasSubstr("PARQUET"), HasSubstr("partitioned by a")));
  const std::pair<std::string, const char*> refusals[] = {
      {"[]", "is no JSON object"},
      {"{}", "lists no columns"},
      {table_json(""), "has no columns"},
      {table_json("7"), "a column is no object"},
      {table_json(R"({"name":"a"})"), "has no columns"},
      {table_json(R"({"name":"i","type_text":"interval day","nullable":false})"),
       "column 'i': the service does not take columns of type interval, and it is NOT NULL"},
      {table_json(R"({"name":"a b","type_text":"int"})"), "column 'a b': the service takes names"},
      {table_json(R"({"name":"a","type_text":"int"},{"name":"A","type_text":"int"})"), "twice"},
      {table_json(R"({"name":"a","type_text":"int","position":1},
                     {"name":"b","type_text":"int","position":1})"),
       "position is that of another"},
      {table_json(R"({"name":"a","type_text":"int","position":-1})"), "position is out of range"},
  };
  for (const auto& [json, problem] : refusals) {
    const auto refused = parse_unity_table(json);
    ASSERT_FALSE(refused) << json;
    EXPECT_THAT(refused.error().what, HasSubstr(problem)) << json;
  }
}

// What is left out counts as a column, and what is not as the column before.
TEST(UnityTable, ColumnsThatAreLeftOutAreCountedForWhatTheyAre) {
  std::string wide = "struct<";
  for (int i = 0; i < 1000; ++i) wide += (i > 0 ? ",f" : "f") + std::to_string(i) + ":int";
  const auto table_with = [&](int left_out) {
    std::string columns = R"({"name":"s","type_text":")" + wide + R"(>"})";
    for (int i = 0; i < left_out; ++i)
      columns += R"(,{"name":"i)" + std::to_string(i) + R"(","type_text":"interval day"})";
    return parse_unity_table(table_json(columns));
  };
  const auto most = table_with(1999);
  ASSERT_TRUE(most) << most.error().what;
  EXPECT_EQ(most->schema.columns.size(), 1u);
  EXPECT_EQ(most->warnings.size(), 1999u);
  const auto more = table_with(2000);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().what, HasSubstr("more than 2000 columns"));
}

ColumnSpec column(std::string name, std::string_view from, std::string_view as = "") {
  ColumnSpec spec;
  spec.name = std::move(name);
  spec.from = *Expression::parse(from);
  spec.cast = *parse_cast(as);
  return spec;
}

std::string described(const Result<TableSchema>& table) {
  if (!table) return "refused: " + table.error().what;
  std::string out;
  for (const auto& each : table->columns) {
    out += each.name + " " + to_string(each.type) + (each.nullable ? "; " : " NOT NULL; ");
  }
  return out;
}

TEST(TableFit, ColumnsOfTheConfigurationDescribeATable) {
  auto required = column("ts", "${payload.t}", "timestamp");
  required.nullable = false;
  EXPECT_EQ(described(schema_of_columns(
                {required, column("d", "${payload.d}", "decimal(10,2)"), column("w", "${payload}"),
                 column("v", "${payload}", "variant"), column("t", "${topic[0]}/${payload.x}"),
                 column("o", "${meta.origin}"), column("n", "${meta.seq}"),
                 column("at", "${meta.received_at}"), column("l", "${label.x}"),
                 column("a", "${attr.y}"), column("c", "constant")})),
            "ts TIMESTAMP NOT NULL; d DECIMAL(10,2); w STRING; v VARIANT; t STRING; o STRING; "
            "n BIGINT; at TIMESTAMP; l STRING; a STRING; c STRING; ");
  EXPECT_EQ(described(schema_of_columns({column("a", "x"), column("v", "${payload.v}")})),
            "refused: column 'v': its type is not known: say `as: ...`, as the table has it, or "
            "use encoding: json");
  EXPECT_THAT(described(schema_of_columns({column("1st", "x")})), HasSubstr("column '1st'"));
}

TEST(TableFit, CastsAreThoseOfTheTable) {
  TableSchema table;
  const std::pair<const char*, const char*> columns[] = {
      {"small", "smallint"},  {"name", "varchar(3)"},    {"at", "timestamp"}, {"epoch", "bigint"},
      {"list", "array<int>"}, {"price", "decimal(6,2)"}, {"_Seq", "bigint"},
  };
  for (const auto& [name, type] : columns) {
    const auto position = static_cast<uint32_t>(table.columns.size());
    table.columns.push_back({name, *parse_type_text(type), true, position});
  }
  EncoderSpec spec;
  spec.columns = {column("SMALL", "${payload.a}", "bigint"), column("name", "${payload.b}"),
                  column("epoch", "${payload.t}", "timestamp"),
                  column("price", "${payload.p}", "decimal")};
  const auto fitted = fit_to_table(spec, table);
  ASSERT_TRUE(fitted) << fitted.error().what;
  EXPECT_EQ(fitted->spec.columns[0].name, "small");
  EXPECT_EQ(fitted->spec.columns[0].cast.cast, Cast::kSmallint);
  EXPECT_EQ(fitted->spec.columns[1].cast.max_chars, 3);
  EXPECT_EQ(fitted->spec.columns[2].cast.cast, Cast::kTimestamp);
  EXPECT_EQ(fitted->spec.columns[3].cast.scale, 2);
  EXPECT_EQ(fitted->table.columns[1].name, "name");

  const auto by_name = fit_to_table(EncoderSpec{}, table);
  ASSERT_TRUE(by_name);
  ASSERT_EQ(by_name->spec.columns.size(), 7u);
  EXPECT_EQ(by_name->spec.columns[6].from.text(), "${meta.seq}");

  spec.columns = {column("other", "x")};
  EXPECT_EQ(fit_to_table(spec, table).error().what, "column 'other': the table has no such column");
  spec.columns = {column("at", "${payload.t}", "boolean")};
  EXPECT_THAT(fit_to_table(spec, table).error().what,
              HasSubstr("column 'at': its cast does not go with the table's TIMESTAMP"));
  table.columns[0].nullable = false;
  spec.columns = {column("name", "x")};
  EXPECT_THAT(fit_to_table(spec, table).error().what,
              HasSubstr("column 'small': it is NOT NULL in the table, and no column"));
}

TEST(TableText, SqlCreatesTheTableAndGrantsWhatWritingNeeds) {
  TableSchema table;
  table.columns = {{"id", *parse_type_text("bigint"), false, 0},
                   {"s", *parse_type_text("struct<a:int not null,b:map<string,double>>"), true, 4}};
  EXPECT_EQ(create_table_sql(table, "main.iot.t", "app`1"),
            "CREATE TABLE IF NOT EXISTS `main`.`iot`.`t` (\n"
            "  `id` BIGINT NOT NULL,\n"
            "  `s` STRUCT<a:INT NOT NULL,b:MAP<STRING,DOUBLE>>\n"
            ") USING DELTA;\n"
            "GRANT USE CATALOG ON CATALOG `main` TO `app``1`;\n"
            "GRANT USE SCHEMA ON SCHEMA `main`.`iot` TO `app``1`;\n"
            "GRANT SELECT, MODIFY ON TABLE `main`.`iot`.`t` TO `app``1`;\n");
  EXPECT_EQ(mapping_text(table),
            "field  column  type                                         protobuf\n"
            "1      id      BIGINT NOT NULL                              required int64\n"
            "5      s       STRUCT<a:INT NOT NULL,b:MAP<STRING,DOUBLE>>  optional message\n");
}

}  // namespace
}  // namespace penstock::codec
