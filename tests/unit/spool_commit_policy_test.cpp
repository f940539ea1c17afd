// Goal: when a commit is made, and of what. Method: the policy as a table of what it sees.
#include <gtest/gtest.h>

#include "agent/spool/commit_policy.h"

namespace penstock::spool {
namespace {

using Act = CommitDecision::Act;
constexpr size_t kCommitBytes = 256 << 10;

MonoTime at(int64_t ms) { return MonoTime(std::chrono::seconds(1000)) + Millis(ms); }

CommitView waiting(size_t bytes, int64_t deadline_ms = 50) {
  CommitView view;
  view.now = at(0);
  view.deadline = at(deadline_ms);
  view.waiting_bytes = bytes;
  return view;
}

CommitView idle() {
  CommitView view;
  view.now = at(0);
  return view;
}

CommitDecision decide(const CommitView& view) { return CommitPolicy(kCommitBytes).decide(view); }

TEST(CommitPolicy, NothingWaitsForNothing) {
  const auto decision = decide(idle());
  EXPECT_EQ(decision.act, Act::kWait);
  EXPECT_FALSE(decision.wake_at);
}

TEST(CommitPolicy, RecordsWaitForTheirDeadlineAndNotLonger) {
  const auto early = decide(waiting(100));
  EXPECT_EQ(early.act, Act::kWait);
  EXPECT_EQ(early.wake_at, at(50));
  EXPECT_EQ(decide(waiting(100, 0)).act, Act::kRecords);
}

TEST(CommitPolicy, ACommitThatIsLargeEnoughOrAskedForIsMadeAtOnce) {
  EXPECT_EQ(decide(waiting(kCommitBytes - 1)).act, Act::kWait);
  EXPECT_EQ(decide(waiting(kCommitBytes)).act, Act::kRecords);
  auto forced = waiting(1);
  forced.forced = true;
  EXPECT_EQ(decide(forced).act, Act::kRecords);
}

TEST(CommitPolicy, AHintCommitsWhatIsWorthItAndSmallOnesFiftyTimesASecond) {
  auto worth = waiting(kWorthEarlyCommit);
  worth.hinted = true;
  EXPECT_EQ(decide(worth).act, Act::kRecords);

  CommitPolicy policy(kCommitBytes);
  auto small = waiting(100);
  small.hinted = true;
  EXPECT_EQ(policy.decide(small).act, Act::kRecords) << "the first";
  small.now = at(5);
  const auto next = policy.decide(small);
  EXPECT_EQ(next.act, Act::kWait);
  EXPECT_EQ(next.wake_at, at(20));
}

TEST(CommitPolicy, AfterACommitThatFoundNoRoomRecordsAreTriedAgainLater) {
  auto full = waiting(kCommitBytes, -10);
  full.full = true;
  full.retry_at = at(200);
  const auto decision = decide(full);
  EXPECT_EQ(decision.act, Act::kWait);
  EXPECT_EQ(decision.wake_at, at(200));
}

TEST(CommitPolicy, AcknowledgementsAreWrittenAloneAfterASecond) {
  CommitView view = idle();
  view.acks_since = at(-999);
  const auto early = decide(view);
  EXPECT_EQ(early.act, Act::kWait);
  EXPECT_EQ(early.wake_at, at(1));
  view.acks_since = at(-1000);
  EXPECT_EQ(decide(view).act, Act::kAcksOnly);
}

TEST(CommitPolicy, AcknowledgementsMakeRoomAtOnceWhereThereIsLittle) {
  for (bool CommitView::*why : {&CommitView::pressed, &CommitView::full, &CommitView::forced}) {
    CommitView view = idle();
    view.acks_since = at(0);
    EXPECT_EQ(decide(view).act, Act::kWait);
    view.*why = true;
    EXPECT_EQ(decide(view).act, Act::kAcksOnly);
    view.acks_not_before = at(100);  // the last such commit found no room
    EXPECT_EQ(decide(view).act, why == &CommitView::forced ? Act::kAcksOnly : Act::kWait);
  }
}

TEST(CommitPolicy, RecordsTakeTheAcknowledgementsWithThem) {
  auto view = waiting(kCommitBytes);
  view.acks_since = at(-2000);
  EXPECT_EQ(decide(view).act, Act::kRecords);
}

}  // namespace
}  // namespace penstock::spool
