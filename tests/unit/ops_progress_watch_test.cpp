// Goal: the watchdog is fed while there is progress, and only then. Method: looks at times of our
// choice.
#include <gtest/gtest.h>

#include "agent/ops/progress_watch.h"

namespace penstock::ops {
namespace {

using News = ProgressWatch::News;

MonoTime at(int seconds) { return MonoTime(std::chrono::seconds(seconds)); }

TEST(ProgressWatch, AThreadThatWaitsForWorkIsAlive) {
  ProgressWatch watch;
  for (int s = 0; s < 1000; s += 10) {
    const auto verdict = watch.look({at(s), true, {}});
    EXPECT_TRUE(verdict.is_alive);
    EXPECT_EQ(verdict.news, News::kNone);
  }
}

TEST(ProgressWatch, AnAgentThreadThatDoesNotAnswerIsNot) {
  ProgressWatch watch;
  EXPECT_FALSE(watch.look({at(10), false, {}}).is_alive);
  EXPECT_TRUE(watch.look({at(20), true, {}}).is_alive);
}

TEST(ProgressWatch, AFileOperationMayTakeTwoMinutes) {
  ProgressWatch watch;
  EXPECT_TRUE(watch.look({at(220), true, at(100)}).is_alive);
  EXPECT_FALSE(watch.look({at(221), true, at(100)}).is_alive);
  EXPECT_TRUE(watch.look({at(230), true, at(229)}).is_alive) << "it ended after all";
}

TEST(ProgressWatch, AStallIsToldOnceAndSoIsItsEnd) {
  ProgressWatch watch;
  EXPECT_EQ(watch.look({at(110), true, at(100)}).news, News::kNone);
  const auto stalled = watch.look({at(111), true, at(100)});
  EXPECT_EQ(stalled.news, News::kStalled);
  EXPECT_EQ(stalled.stalled, Millis(11'000));
  EXPECT_EQ(watch.look({at(120), true, at(100)}).news, News::kNone);
  const auto over = watch.look({at(130), true, at(129)});
  EXPECT_EQ(over.news, News::kOver);
  EXPECT_EQ(over.stalled, Millis(30'000));
  EXPECT_EQ(watch.look({at(140), true, {}}).news, News::kNone);
}

}  // namespace
}  // namespace penstock::ops
