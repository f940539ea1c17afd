// `penstock schema` without a workspace: what is known of a table, and what its route says when
// there is no table yet.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cli/cli.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/schema_version.h"
#include "tests/support/temp_dir.h"

namespace penstock::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class SchemaTools : public testing::Test {
 protected:
  struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
  };

  void configure(const std::string& columns) const {
    std::ofstream(dir_.path() / "penstock.yaml")
        << "version: 1\nagent: {id: gw}\nspool: {dir: \"" << spool().string()
        << "\"}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:1\", workspace_url: "
           "\"http://127.0.0.1:1\", schema: unity_catalog, auth: {token: \"long-enough\"}}\n"
           "inputs:\n  u: {plugin: udp, topic: x, listen: \"127.0.0.1:1\"}\n"
           "routes:\n  - name: r\n    match: {input: u}\n    table: a.b.c\n"
        << columns;
  }
  std::filesystem::path spool() const { return dir_.path() / "spool"; }
  void keep(const std::string& name, const std::string& text) const {
    const auto folder = spool() / "schemas" / "d";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / name) << text;
  }
  Outcome schema(const std::string& what, const std::string& table = "a.b.c") const {
    std::vector<std::string> arguments = {
        "penstock", "schema", what, table, "--config", (dir_.path() / "penstock.yaml").string()};
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = run(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    return outcome;
  }

  test::TempDir dir_{"schema"};
};

constexpr const char* kTyped =
    "    columns:\n"
    "      n: {from: \"${payload.n}\", as: bigint, nullable: false}\n"
    "      s: {from: \"${source}\"}\n";

TEST_F(SchemaTools, TheStatementForATableThatIsNotThereComesFromTheColumnsOfItsRoute) {
  configure(kTyped);
  const auto sql = schema("sql");
  EXPECT_EQ(sql.code, 0) << sql.err;
  EXPECT_THAT(sql.out, HasSubstr("CREATE TABLE IF NOT EXISTS `a`.`b`.`c` ("));
  EXPECT_THAT(sql.out, HasSubstr("`n` BIGINT NOT NULL"));
  EXPECT_THAT(sql.out, HasSubstr("`_origin` STRING,\n  `_seq` BIGINT,\n  `_sub` BIGINT,\n"))
      << "what tells repeated rows apart is filled where the table has it";
  EXPECT_THAT(sql.err, HasSubstr("nothing is known of a.b.c yet"));
  const auto show = schema("show");
  EXPECT_EQ(show.code, 2) << "what the table is like is not known";
  EXPECT_THAT(show.err, HasSubstr("penstock schema fetch a.b.c"));
}

TEST_F(SchemaTools, WhatIsNoNameOfATableIsRefused) {
  configure(kTyped);
  for (const char* what : {"show", "sql", "fetch"}) {
    for (const char* name : {"iot", "main..t", "a.b.c.d", "a.b.", "a.b.${attr.x}", "a.b.c-d"}) {
      const auto outcome = schema(what, name);
      EXPECT_EQ(outcome.code, 2) << what << ' ' << name;
      EXPECT_EQ(outcome.out, "") << what << ' ' << name;
      EXPECT_THAT(outcome.err, HasSubstr(std::string(name) + " is no table")) << what;
    }
  }
}

// By hand nobody hands credentials over.
TEST_F(SchemaTools, ACredentialThatSystemdWouldHandOverIsMissingWithAHint) {
  std::ofstream(dir_.path() / "penstock.yaml")
      << "version: 1\nagent: {id: gw}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:1\", "
         "workspace_url: \"http://127.0.0.1:1\", schema: unity_catalog, auth: {token: "
         "\"${credential:zb}\"}}\nroutes: [{name: r, match: {topic: x}, table: a.b.c}]\n";
  unsetenv("CREDENTIALS_DIRECTORY");
  const auto outcome = schema("fetch");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("credential zb is missing or empty (outside the service set "
                                     "CREDENTIALS_DIRECTORY=/etc/penstock/credentials)"));
}

TEST_F(SchemaTools, WithoutTypesItSaysWhatIsMissing) {
  configure("    columns:\n      n: \"${payload.n}\"\n");
  const auto sql = schema("sql");
  EXPECT_EQ(sql.code, 2);
  EXPECT_THAT(sql.err, HasSubstr("penstock schema fetch a.b.c"));
  EXPECT_THAT(sql.err, HasSubstr("column 'n'"));
}

TEST_F(SchemaTools, ATableThatIsKnownIsShownAsItIsAndThatItWasCreatedAnew) {
  configure("    columns:\n      m: \"${payload.m}\"\n");
  keep("a.b.c.json",
       R"({"full_name":"a.b.c","table_id":"id-2","columns":[{"name":"m","type_text":"string"}]})");
  for (const auto* what : {"sql", "show"}) {
    const auto outcome = schema(what);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("m")) << what;
    EXPECT_THAT(outcome.err, Not(HasSubstr("note:"))) << what;
  }
  keep("a.b.c.anew", "id-1 id-2");
  for (const auto* what : {"sql", "show"})
    EXPECT_THAT(schema(what).err, HasSubstr("created again")) << what;
  keep("a.b.c.anew", "id-0 id-1");
  EXPECT_THAT(schema("show").err, Not(HasSubstr("created again"))) << "of another table";
}

constexpr const char* kThreeColumns =
    R"({"full_name":"a.b.c","columns":[{"name":"n","type_text":"bigint"},
    {"name":"s","type_text":"string"},{"name":"more","type_text":"double"}]})";

std::string after(const std::string& text, const std::string& label) {
  const auto at = text.find(label);
  if (at == text.npos) return "no " + label;
  const auto from = at + label.size();
  return text.substr(from, text.find('\n', from) - from);
}

// A version that differs from the quarantine's means another descriptor, and the other way round.
TEST_F(SchemaTools, EachRouteIsShownWithTheDescriptorOfItsOwnRowsAndThatOnesVersion) {
  configure(
      "    columns: {n: \"${payload.n}\"}\n"
      "  - {name: wide, match: {topic: y}, table: a.b.c}\n"
      "  - {name: other, match: {topic: z}, table: a.b.other}\n");
  keep("a.b.c.json", kThreeColumns);
  const auto outcome = schema("show");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, Not(HasSubstr("other")));
  const auto second = outcome.out.find("route: wide\n");
  ASSERT_NE(second, outcome.out.npos) << outcome.out;
  const auto narrow = outcome.out.substr(0, second);
  const auto wide = outcome.out.substr(second);
  EXPECT_THAT(narrow, StartsWith("route: r\n"));
  std::vector<std::string> versions;
  for (const auto& shown : {narrow, wide}) {
    EXPECT_THAT(shown, HasSubstr("more")) << "the table is shown whole";
    const auto descriptor = codec::decode_base64(after(shown, "descriptor: "));
    ASSERT_TRUE(descriptor) << shown;
    EXPECT_EQ(descriptor->find("more") != descriptor->npos, shown == wide);
    EXPECT_EQ(after(shown, "schema: "), codec::schema_version(*descriptor));
    versions.push_back(after(shown, "schema: "));
  }
  EXPECT_NE(versions[0], versions[1]);
}

TEST_F(SchemaTools, ARouteWhoseColumnsDoNotFitIsNamedAndTheOthersAreShown) {
  configure(
      "    columns: {gone: \"${payload.n}\"}\n"
      "  - {name: wide, match: {topic: y}, table: a.b.c}\n");
  keep("a.b.c.json", kThreeColumns);
  const auto outcome = schema("show");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("route r: column 'gone'"));
  EXPECT_THAT(outcome.out, HasSubstr("route: wide\n"));
  EXPECT_THAT(outcome.out, HasSubstr("descriptor: "));
}

// With `schema: columns`, what is not known of the table makes the rows JSON.
TEST_F(SchemaTools, RowsOfJsonHaveNoSchema) {
  std::ofstream(dir_.path() / "penstock.yaml")
      << "version: 1\nagent: {id: gw}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:1\", "
         "schema: columns, auth: {token: \"long-enough\"}}\nroutes:\n"
         "  - name: loose\n    match: {topic: x}\n    table: a.b.c\n"
         "    columns: {n: {from: \"${payload.n}\", as: bigint}}\n"
         "  - name: strict\n    match: {topic: y}\n    table: a.b.c\n"
         "    columns: {n: {from: \"${payload.n}\", as: bigint, nullable: true}}\n";
  const auto outcome = schema("show");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto second = outcome.out.find("route: strict\n");
  ASSERT_NE(second, outcome.out.npos) << outcome.out;
  EXPECT_EQ(after(outcome.out.substr(0, second), "schema: "), "none, rows are JSON");
  EXPECT_THAT(outcome.out.substr(0, second), Not(HasSubstr("descriptor: ")));
  EXPECT_THAT(outcome.out.substr(second), HasSubstr("descriptor: "));
}

}  // namespace
}  // namespace penstock::cli
