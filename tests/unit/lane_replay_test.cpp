// A replayed record goes out under the name it brings along, and only a lane of replayed records
// believes such a name.
#include <gtest/gtest.h>

#include "agent/lane/batch_builder.h"
#include "agent/spool/replayed_record.h"

namespace penstock::lane {
namespace {

codec::RowEncoder names_only() {
  codec::EncoderSpec spec;
  for (const auto* name : {"origin", "seq", "epoch", "lane"}) {
    codec::ColumnSpec column;
    column.name = name;
    column.from = *Expression::parse("${meta." + std::string(name) + "}");
    spec.columns.push_back(column);
  }
  return *codec::RowEncoder::make(spec);
}

struct Outcome {
  std::string rows;
  std::string refused;
};

Outcome build(const std::string& body, bool replays) {
  Outcome out;
  BatchBuilder builder(
      names_only(), {}, {"gw/e9", "e9"}, 7,
      [&out](spool::Seq, std::string reason) { out.refused = std::move(reason); }, replays);
  builder.begin(1 << 20);
  if (builder.add({5, body, nullptr}, {}) == BatchBuilder::Added::kTaken)
    out.rows = builder.take().body->substr(2);
  return out;
}

RecordView record() {
  RecordView record;
  record.payload = "{}";
  return record;
}

constexpr char kOwn[] = R"({"origin":"gw/e9/7","seq":5,"epoch":"e9","lane":7})";

TEST(Replay, ARecordGoesOutUnderTheNameItBrings) {
  const auto body = spool::encode_named(record(), {"gw/e1/3", 42});
  EXPECT_EQ(build(body, true).rows, R"({"origin":"gw/e1/3","seq":42,"epoch":"e1","lane":3})");
}

TEST(Replay, ASourceCannotForgeAName) {
  const auto body = spool::encode_named(record(), {"gw/e1/3", 42});
  EXPECT_EQ(build(body, false).rows, kOwn);
}

TEST(Replay, WithoutItsNameARecordIsNotSent) {
  std::string body;
  encode_record(record(), body);
  EXPECT_EQ(build(body, true).rows, "");
  EXPECT_NE(build(body, true).refused.find("name is lost"), std::string::npos);
  EXPECT_EQ(build(spool::encode_named(record(), {"no origin", 1}), true).rows, "");
}

TEST(Replay, TheNameIsNoAttributeOfTheRecord) {
  const AttributeView attributes[] = {{"qos", "1"}};
  RecordView before = record();
  before.attributes = attributes;
  const auto body = spool::encode_named(before, {"gw/e1/3", 42});
  std::vector<AttributeView> found;
  auto after = decode_record(body, found);
  ASSERT_TRUE(after);
  const auto name = spool::take_name(*after, found);
  ASSERT_TRUE(name);
  EXPECT_EQ(name->origin, "gw/e1/3");
  EXPECT_EQ(name->seq, 42u);
  ASSERT_EQ(after->attributes.size(), 1u);
  EXPECT_EQ(after->attributes[0].key, "qos");
  EXPECT_FALSE(spool::take_name(*after, found));
}

}  // namespace
}  // namespace penstock::lane
