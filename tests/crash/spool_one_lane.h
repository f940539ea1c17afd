// A spool of one lane, and what a repair makes of it.
#pragma once

#include "agent/spool/offline_repair.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {

class OneLaneSpool : public SpoolFixture {
 protected:
  void open() {
    SpoolFixture::open();
    lane_ = spool_->lane({"r", "t"});
  }
  // `commits` of `count` records each, durable on return.
  void put(int commits, int count, size_t size) {
    for (int i = 0; i < commits; ++i) {
      feeder_->put(lane_, count, size);
      ASSERT_TRUE(spool_->flush());
    }
  }
  // The directory with it.
  std::filesystem::path repaired() {
    std::filesystem::path into = dir_.path() / "repaired";
    std::filesystem::remove_all(into);
    const auto account = repair_spool(options_.dir, into, Log::none());
    EXPECT_TRUE(account) << account.error().what;
    return into;
  }

  LaneId lane_ = 0;
};

}  // namespace penstock::spool::testing
