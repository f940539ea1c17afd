// A start that reads on is given time; one that does not is not.
#include <atomic>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "agent/ops/start_patience.h"
#include "tests/support/wait.h"

namespace penstock::ops {
namespace {

using test::wait_until;

TEST(StartPatience, MoreTimeIsAskedForOnlyAfterLooksThatFoundItReading) {
  std::atomic<int> looks{0};
  std::atomic<int> asked{0};
  // The third look finds a megabyte more, the sixth a few bytes.
  const auto read = [&]() -> uint64_t {
    const int look = ++looks;
    return look < 3 ? 0 : look < 6 ? 1 << 20 : (1 << 20) + 100;
  };
  StartPatience patience(
      read, [&] { ++asked; }, Millis(1));
  ASSERT_TRUE(wait_until([&] { return looks > 10; }, Millis(30'000)));
  EXPECT_EQ(asked, 1);
}

TEST(StartPatience, WhatIsReadFromAFileIsCounted) {
  const uint64_t before = bytes_read();
  std::ifstream self("/proc/self/exe", std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(self), {});
  EXPECT_GE(bytes_read(), before + text.size());
}

TEST(StartPatience, EndsAtOnceHoweverLongALookIs) {
  StartPatience patience([] { return 0; }, [] {}, Millis(3'600'000));
}

}  // namespace
}  // namespace penstock::ops
