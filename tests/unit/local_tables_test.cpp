#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/zerobus_local/catalog_json.h"
#include "tests/zerobus_local/tables.h"
#include "tests/zerobus_local/types.h"

namespace penstock::local {
namespace {

using ::testing::HasSubstr;

TEST(TypeText, EveryDocumentedTypeIsUnderstoodAndPrintedCanonically) {
  const std::pair<const char*, const char*> cases[] = {
      {"tinyint", "TINYINT"},
      {"BYTE", "TINYINT"},
      {"Short", "SMALLINT"},
      {"int", "INT"},
      {"integer", "INT"},
      {"LONG", "BIGINT"},
      {"float", "FLOAT"},
      {"double", "DOUBLE"},
      {"string", "STRING"},
      {"varchar( 20 )", "VARCHAR(20)"},
      {"boolean", "BOOLEAN"},
      {"binary", "BINARY"},
      {"date", "DATE"},
      {"timestamp", "TIMESTAMP"},
      {"timestamp_ntz", "TIMESTAMP_NTZ"},
      {"decimal", "DECIMAL(10,0)"},
      {"decimal(38)", "DECIMAL(38,0)"},
      {"decimal(10, 2)", "DECIMAL(10,2)"},
      {"variant", "VARIANT"},
      {"array<int>", "ARRAY<INT>"},
      {"map<string, array_>", nullptr},
      {"map<long,double>", "MAP<BIGINT,DOUBLE>"},
      {" struct< a : int, B: array<struct<c:string>> > ",
       "STRUCT<a:INT,B:ARRAY<STRUCT<c:STRING>>>"},
  };
  for (const auto& [text, canonical] : cases) {
    const auto type = parse_type(text);
    ASSERT_EQ(type.has_value(), canonical != nullptr) << text;
    if (canonical != nullptr) {
      EXPECT_EQ(to_string(*type), canonical);
    }
  }
}

TEST(TypeText, WhatTheServiceCannotHoldIsRefusedWithTheReason) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "a type is missing"},
      {"INTERVAL", "INTERVAL is not supported"},
      {"CHAR(3)", "CHAR is not supported"},
      {"INT INT", "unexpected 'INT'"},
      {"VARCHAR", "'(' is missing"},
      {"VARCHAR(0)", "at least 1"},
      {"DECIMAL(39)", "p <= 38"},
      {"DECIMAL(5,6)", "s <= p"},
      {"DECIMAL(x)", "a number is missing"},
      {"ARRAY<ARRAY<INT>>", "not supported by the service"},
      {"ARRAY<MAP<STRING,INT>>", "not supported by the service"},
      {"MAP<STRING,ARRAY<INT>>", "not supported by the service"},
      {"MAP<DOUBLE,INT>", "MAP key"},
      {"STRUCT<1a:INT>", "needs a name"},
      {"STRUCT<a INT>", "':' is missing"},
      {"ARRAY<INT", "'>' is missing"},
  };
  for (const auto& [text, reason] : cases) {
    const auto type = parse_type(text);
    ASSERT_FALSE(type) << text;
    EXPECT_THAT(type.error().what, HasSubstr(reason)) << text;
  }
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "STRUCT<a:";
  EXPECT_FALSE(parse_type(deep + "INT" + std::string(200, '>')));
}

TEST(Tables, NamedTablesAndPatternsAreFoundWithoutRegardToCase) {
  auto catalog = parse_tables(R"yaml(
tables:
  - name: main.iot.Telemetry
    columns: [{name: ts, type: TIMESTAMP, nullable: false}, {name: v, type: "DECIMAL(10,2)"}]
  - pattern: main.iot.telemetry_*
    columns: [{name: a, type: INT}]
  - pattern: main.*.t?
    columns: [{name: b, type: INT}]
)yaml",
                              "t.yaml");
  ASSERT_TRUE(catalog) << catalog.error().what;
  Catalog& tables = **catalog;
  const auto table = tables.find("MAIN.iot.telemetry");
  ASSERT_TRUE(table);
  EXPECT_EQ(table->name(), "main.iot.Telemetry");
  EXPECT_FALSE(table->columns()[0].nullable);
  EXPECT_TRUE(table->columns()[1].nullable);
  EXPECT_EQ(to_string(table->columns()[1].type), "DECIMAL(10,2)");
  EXPECT_EQ(tables.all().size(), 1U);
  const auto made = tables.find("main.iot.telemetry_7");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->columns()[0].name, "a");
  EXPECT_EQ(tables.find("main.iot.TELEMETRY_7"), made);  // the same table, made once
  EXPECT_EQ(tables.all().size(), 2U);
  ASSERT_TRUE(tables.find("main.x.t1"));
  EXPECT_EQ(tables.find("main.x.t1")->columns()[0].name, "b");
  EXPECT_FALSE(tables.find("main.x.t12"));
  EXPECT_FALSE(tables.find("main.a.b.t1"));                 // the glob fits, the name is not legal
  EXPECT_FALSE(tables.find("main.iot.telemetry_7; drop"));  // ...
  EXPECT_FALSE(tables.find(""));
}

TEST(Tables, AllProblemsAreListedAtOnceWithTheirLines) {
  const auto catalog = parse_tables(R"(tables:
  - name: main.iot
    columns: [{name: a, type: INT}]
  - name: main.iot.a
    columns:
      - {name: x, type: DECIMAL(10,2)}
      - {name: _offset, type: INT}
      - {name: y, type: INTERVAL}
      - {name: Z, type: INT}
      - {name: z, type: INT}
      - {name: n, type: INT, nullable: maybe}
      - {name: 9, type: INT}
      - {name: no_type}
  - name: MAIN.iot.b
    columns: [{name: a, type: INT}]
  - name: main.iot.B
    columns: [{name: a, type: INT}]
  - {pattern: "main.[x]", columns: [{name: a, type: INT}]}
  - {name: main.iot.c, pattern: main.iot.c, columns: [{name: a, type: INT}]}
  - {name: main.iot.d}
  - {name: main.iot.e, columns: []}
  - {name: main.iot.f, name: main.iot.g, columns: [{name: a, type: INT}]}
  - 7
extra: 1
)",
                                    "t.yaml");
  ASSERT_FALSE(catalog);
  const std::string& what = catalog.error().what;
  for (const char* part :
       {"t.yaml:2: table 'main.iot' must have three parts", "t.yaml:6: unknown key '2)'",
        "quote a type that holds commas", "t.yaml:7: column '_offset' is a name",
        "t.yaml:8: type INTERVAL is not supported", "t.yaml:10: column 'z' is defined twice",
        "t.yaml:11: 'nullable' must be true or false", "t.yaml:12: column '9' needs a 'name'",
        "t.yaml:13: column 'no_type' has no 'type'",
        "t.yaml:16: table 'main.iot.B' is defined twice", "t.yaml:18: pattern 'main.[x]' may hold",
        "t.yaml:19: a table needs either", "t.yaml:20: table main.iot.d has no 'columns'",
        "t.yaml:21: 'columns' must be a list", "t.yaml:22: key 'name' is given twice",
        "t.yaml:23: a table must be a map", "t.yaml:24: unknown key 'extra'"}) {
    EXPECT_THAT(what, HasSubstr(part));
  }
}

TEST(Tables, TextThatIsNoTableListIsRefused) {
  EXPECT_THAT(parse_tables("tables: [", "t.yaml").error().what, HasSubstr("t.yaml:1: "));
  EXPECT_THAT(parse_tables("", "t.yaml").error().what, HasSubstr("must be a map"));
  EXPECT_THAT(parse_tables("tables: {}", "t.yaml").error().what, HasSubstr("at least one table"));
  EXPECT_THAT(load_tables("/nonexistent/t.yaml").error().what, HasSubstr("cannot be read"));
}

TEST(Glob, StarsAndQuestionMarksMatchWithoutRegardToCase) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*b*c", "aXXbYYc"));
  EXPECT_TRUE(glob_matches("a*b*c", "abbc"));
  EXPECT_TRUE(glob_matches("A?c", "abC"));
  EXPECT_FALSE(glob_matches("a?c", "ac"));
  EXPECT_FALSE(glob_matches("a*b", "abc"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("*.*.x*", "main.iot.xyz"));
}

TEST(CatalogJson, DescribesColumnsAsUnityCatalogDoes) {
  std::vector<Column> columns;
  columns.push_back({"ts", *parse_type("TIMESTAMP"), false});
  columns.push_back({"d", *parse_type("DECIMAL(10,2)"), true});
  columns.push_back({"s", *parse_type("STRUCT<Ab:INT,l:ARRAY<BIGINT>>"), true});
  const auto json = catalog_json(Table("main.iot.t", std::move(columns)));
  for (const char* part :
       {R"("full_name":"main.iot.t")", R"("catalog_name":"main","schema_name":"iot","name":"t")",
        R"({"name":"ts","type_text":"timestamp","type_name":"TIMESTAMP",)",
        R"("nullable":false,"position":0})",
        R"j("type_text":"decimal(10,2)","type_name":"DECIMAL")j",
        R"("type_text":"struct<Ab:int,l:array<bigint>>","type_name":"STRUCT")",
        R"(\"type\":\"struct\",\"fields\":[{\"name\":\"Ab\",\"type\":\"integer\")",
        R"({\"type\":\"array\",\"elementType\":\"long\",\"containsNull\":true})"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
}

}  // namespace
}  // namespace penstock::local
