// Records expire after a repair as before it: the marks of the clock come along.
#include "agent/spool/offline_repair.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

class OfflineAge : public LimitedSpool {
 protected:
  OfflineAge() { options_.policies["r"] = {OverflowPolicy::kBlock, {}, Millis(20'000)}; }

  void put(const char* table) {
    auto records = feeder_->take(spool_->lane({"r", table}), 1);
    records[0].received_at_us = clock_.now().wall_us;
    ASSERT_EQ(spool_->enqueue(std::move(records)), Enqueue::kTaken);
    ASSERT_TRUE(spool_->flush());
  }
  // Two lanes, each with a record of a boot whose clock was not set, one of the same boot once it
  // was, 100 s ahead, and one of the next boot.
  void live() {
    clock_.change([](ClockReading& clock) { clock.is_set = false; });
    open();
    for (const char* table : {"a", "b"}) put(table);
    clock_.change([](ClockReading& clock) {
      clock.is_set = true;
      clock.wall_us += 100 * HandClock::kSecondUs;
    });
    for (const char* table : {"a", "b"}) put(table);
    clock_.change([](ClockReading& clock) {
      clock.boot = "boot-b";
      clock.boot_us = 0;
      clock.wall_us += HandClock::kSecondUs;
    });
    reopen();
    for (const char* table : {"b", "a"}) put(table);
    close();
  }
  void repair() {
    const auto into = dir_.path() / "repaired";
    const auto account = repair_spool(options_.dir, into, Log::none());
    ASSERT_TRUE(account) << account.error().what;
    options_.dir = into;
    open();
  }
  bool decided(const char* table, Seq seq) {
    return spool_->decided(spool_->lane({"r", table}), {seq, seq});
  }
};

TEST_F(OfflineAge, RecordsExpireAfterARepairAsBeforeIt) {
  live();
  repair();
  clock_.pass(20);  // 21 s of the second records, by the clock as it was set
  for (const char* table : {"a", "b"}) {
    EXPECT_TRUE(eventually([&] { return decided(table, 2); })) << table;
    EXPECT_FALSE(decided(table, 3)) << table;
  }
  clock_.pass(2);
  for (const char* table : {"a", "b"}) {
    EXPECT_TRUE(eventually([&] { return decided(table, 3); })) << table;
    EXPECT_FALSE(decided(table, 1)) << "its clock was not set";
  }
  // And what comes now has an age of its own.
  put("a");
  clock_.pass(21);
  EXPECT_TRUE(eventually([&] { return decided("a", 4); }));
}

// The newest mark is lost: the last boot's records would pass for those of the one before.
TEST_F(OfflineAge, WithoutAllMarksNothingExpires) {
  live();
  query(options_.dir / "1.db",
        "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name='clock'");
  repair();
  put("c");
  clock_.pass(1'000);
  EXPECT_TRUE(eventually([&] { return decided("c", 1); }));
  for (const char* table : {"a", "b"}) {
    EXPECT_EQ(spool_->state(spool_->lane({"r", table})).pending(), 3U);
    for (const Seq seq : {1, 2, 3}) EXPECT_FALSE(decided(table, seq));
  }
}

}  // namespace
}  // namespace penstock::spool::testing
