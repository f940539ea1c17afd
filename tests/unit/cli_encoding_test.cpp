// Which encoding `auto` stands for: protobuf only where nothing about the table is assumed, because
// the service refuses a stream whose rows are NULL where the table is NOT NULL.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/app/compose.h"
#include "tests/support/temp_dir.h"

namespace penstock::app {
namespace {

bool is_protobuf(const std::string& encoding, const std::string& columns) {
  const test::TempDir dir("encoding");
  const auto file = dir.path() / "penstock.yaml";
  std::ofstream(file)
      << "version: 1\nagent: {id: gw}\nspool: {dir: \"" << dir.path().string()
      << "\"}\ndestinations:\n  d: {endpoint: \"http://127.0.0.1:1\", auth: {token: "
         "t}, schema: columns, encoding: "
      << encoding
      << "}\ninputs:\n  u: {plugin: udp, topic: x, listen: \"127.0.0.1:1\"}\n"
         "routes:\n  - name: r\n    match: {input: u}\n    table: a.b.c\n"
         "    columns:\n"
      << columns;
  const auto loaded = config::load_file(file, config::system_environment());
  EXPECT_TRUE(loaded.ok());
  const auto encoder = make_encoder(loaded.config, loaded.config.routes.at(0));
  EXPECT_TRUE(encoder) << encoder.error().what;
  return encoder && !encoder->descriptor().empty();
}

TEST(Encoding, AutoIsProtobufOnlyWhereColumnsSayTypeAndNullability) {
  const std::string stated =
      "      n: {from: \"${payload.n}\", as: bigint, nullable: false}\n"
      "      s: {from: \"${source}\", nullable: true}\n";
  EXPECT_TRUE(is_protobuf("auto", stated));
  EXPECT_FALSE(is_protobuf("json", stated));
  const std::string assumed = stated + "      seq: \"${meta.seq}\"\n";
  EXPECT_FALSE(is_protobuf("auto", assumed)) << "whether `seq` is NOT NULL is not known";
  EXPECT_TRUE(is_protobuf("proto", assumed));
}

}  // namespace
}  // namespace penstock::app
