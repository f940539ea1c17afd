// Goal: a disk that does not answer can be seen from outside, at once and without waiting for it.
// Method: a write that ends when we say so.
#include <future>

#include <gtest/gtest.h>

#include "tests/crash/spool_fault_vfs.h"
#include "tests/unit/spool_fixture.h"

namespace penstock::spool::testing {
namespace {

TEST(SpoolStall, AWriteThatDoesNotEndShowsSinceWhenAndItsEndToo) {
  FaultVfs vfs;
  TempDir dir;
  auto spool = open_or_die(options_in(dir.path()));
  Watcher watcher;
  spool->start(watcher);
  Feeder feeder(*spool);
  const LaneId lane = spool->lane({"route", "main.a.b"});
  ASSERT_TRUE(eventually([&] { return !spool->busy_since(); })) << "nothing to do";

  std::promise<void> begun;
  std::promise<void> let_go;
  vfs.before_operation(1, [&] {
    begun.set_value();
    let_go.get_future().wait();
  });
  const MonoTime before = read_clock().mono;
  feeder.put(lane, 10);
  begun.get_future().wait();
  const auto since = spool->busy_since();
  ASSERT_TRUE(since);
  EXPECT_GE(*since, before);
  EXPECT_EQ(spool->busy_since(), since) << "the same operation";
  let_go.set_value();
  EXPECT_TRUE(watcher.wait_durable(1, 10));
  EXPECT_TRUE(eventually([&] { return !spool->busy_since(); }));
  spool->stop();
  EXPECT_FALSE(spool->busy_since());
}

}  // namespace
}  // namespace penstock::spool::testing
