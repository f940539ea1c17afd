// The name of a schema in the reason of a refused record, and back.
#include <gtest/gtest.h>

#include "agent/codec/schema_version.h"

namespace penstock::codec {
namespace {

TEST(SchemaVersion, NamesADescriptorShortlyAndAlwaysTheSame) {
  EXPECT_EQ(schema_version(""), "");
  EXPECT_EQ(schema_version("a"), "e40c292c");
  EXPECT_NE(schema_version("ab"), schema_version("ba"));
}

TEST(SchemaVersion, StandsBehindTheReasonAndComesOffAgain) {
  const auto reason = with_schema_version("column v: not a number", "a");
  EXPECT_EQ(reason, "column v: not a number [schema e40c292c]");
  EXPECT_EQ(split_reason(reason).text, "column v: not a number");
  EXPECT_EQ(split_reason(reason).schema_version, "e40c292c");
  EXPECT_EQ(with_schema_version("JSON", ""), "JSON");
}

TEST(SchemaVersion, OtherReasonsStayWhole) {
  for (const char* reason : {"", "]", "no route", "[schema 1234567]", "x [schema 1234567g]",
                             "x [schema 12345678] y", "x [schema 12345678", "x[schema 12345678]"}) {
    EXPECT_EQ(split_reason(reason).text, reason);
    EXPECT_EQ(split_reason(reason).schema_version, "") << reason;
  }
  EXPECT_EQ(split_reason(" [schema 12345678]").text, "");
}

}  // namespace
}  // namespace penstock::codec
