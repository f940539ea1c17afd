// The reader of what landed: rows, duplicates and which acknowledgement covered a row.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/support/lakehouse.h"
#include "tests/support/temp_dir.h"

namespace penstock::test {
namespace {

void run_sql(const std::filesystem::path& file, const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

constexpr auto kRows = R"(
  CREATE TABLE "main.demo.t"(n INTEGER, received_us INTEGER, _stream_id TEXT, _offset INTEGER,
                             _index INTEGER, _arrived_us INTEGER);
  INSERT INTO "main.demo.t" VALUES (1, 100, 's', 0, 0, 150), (2, 110, 's', 1, 0, 160),
                                   (2, 110, 'x', 0, 0, 170), (NULL, 1, 's', 1, 1, 160);
  CREATE TABLE _acks(_stream_id TEXT, _offset INTEGER, _acked_us INTEGER);
  INSERT INTO _acks VALUES ('s', 2, 900), ('s', 0, 200);)";

TEST(Lakehouse, CountsEachIdAndSkipsNulls) {
  const TempDir dir;
  run_sql(dir.path() / "lakehouse.db", kRows);
  const Lakehouse house(dir.path() / "lakehouse.db");
  EXPECT_EQ(house.ids("main.demo.t"), (std::map<int64_t, uint32_t>{{1, 1}, {2, 2}}));
  EXPECT_EQ(house.value("SELECT COUNT(*) FROM \"main.demo.t\""), "4");
}

TEST(Lakehouse, TheFirstCoveringAcknowledgementCounts) {
  const TempDir dir;
  run_sql(dir.path() / "lakehouse.db", kRows);
  std::map<int64_t, int64_t> acked;  // by arrival order
  int64_t row = 0;
  for (const auto& landing : Lakehouse(dir.path() / "lakehouse.db").landings("main.demo.t"))
    acked[row++] = landing.acked_us;
  EXPECT_EQ(acked[0], 200) << "offset 0, acknowledged by itself";
  EXPECT_EQ(acked[1], 900) << "offset 1, covered by the acknowledgement of 2";
  EXPECT_EQ(acked[2], 170) << "never acknowledged: its arrival";
}

TEST(Lakehouse, NothingThereYetIsNoRows) {
  const TempDir dir;
  const Lakehouse house(dir.path() / "lakehouse.db");
  EXPECT_TRUE(house.ids("main.demo.t").empty());
  run_sql(house.file(), "CREATE TABLE other(x)");
  EXPECT_TRUE(house.ids("main.demo.t").empty());
  EXPECT_TRUE(house.landings("main.demo.t").empty());
}

}  // namespace
}  // namespace penstock::test
