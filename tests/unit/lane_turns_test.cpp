// Goal: with fewer streams than tables every table gets its turn, and those in use keep theirs.
// Method: the decisions alone, with time as a value; then lanes in memory in bulkhead_turns_test.
#include <set>

#include <gtest/gtest.h>

#include "agent/lane/stream_turns.h"

namespace penstock::lane {
namespace {

class Turns : public testing::Test {
 protected:
  using Ticket = StreamTurns::Ticket;

  Ticket ask() {
    const auto mark = std::make_shared<Ticket>(0);
    *mark = turns_.ask(
        {[this, mark] { granted_.insert(*mark); }, [this, mark] { called_back_.insert(*mark); }},
        now_);
    return *mark;
  }
  Ticket open() {
    const auto ticket = ask();
    turns_.opened(ticket, now_);
    return ticket;
  }
  void used(Ticket ticket, bool at_rest = false) { turns_.used(ticket, at_rest, now_); }
  void pass(int ms) { now_ += Millis(ms); }

  MonoTime now_ = MonoTime() + std::chrono::hours(1);
  StreamTurns turns_{2, Millis(1'000)};
  std::set<Ticket> granted_;
  std::set<Ticket> called_back_;
};

TEST_F(Turns, AsManyAsThereMayBeAreOpenedAtOnce) {
  EXPECT_TRUE(turns_.has(ask()));
  EXPECT_TRUE(turns_.has(ask()));
  const auto third = ask();
  EXPECT_FALSE(turns_.has(third));
  EXPECT_EQ(turns_.in_use(), 2u);
  EXPECT_EQ(turns_.waiting(), 1u);
  EXPECT_TRUE(called_back_.empty()) << "streams that are being opened are left alone";
}

TEST_F(Turns, TheLeastRecentlyUsedStreamAtRestGoes) {
  const auto a = open();
  const auto b = open();
  pass(10);
  used(b, true);
  pass(10);
  used(a);
  used(a, true);
  pass(10);
  used(b, true);  // still at rest: no use
  const auto c = ask();
  EXPECT_EQ(called_back_, std::set<Ticket>{b});
  EXPECT_TRUE(granted_.empty()) << "before the other has ended";
  turns_.give_back(b, now_);
  EXPECT_EQ(granted_, std::set<Ticket>{c});
  EXPECT_TRUE(turns_.has(c));
}

TEST_F(Turns, AStreamThatComesToRestGoesAtOnceWhenAnotherWaits) {
  const auto a = open();
  open();
  ask();
  EXPECT_TRUE(called_back_.empty());
  used(a, true);
  EXPECT_EQ(called_back_, std::set<Ticket>{a});
}

TEST_F(Turns, ABusyStreamGoesAfterItsTurnAndOnlyIfOneWaits) {
  const auto a = open();
  pass(500);
  const auto b = open();
  pass(2'000);
  used(a);
  used(b);
  EXPECT_TRUE(called_back_.empty());
  ask();
  EXPECT_EQ(called_back_, std::set<Ticket>{a}) << "the one that has been open the longest";
  used(b);
  EXPECT_EQ(called_back_.size(), 1u) << "one stream for each that waits";
}

// Its acknowledgement does not come, or what it waits for.
TEST_F(Turns, OneThatDoesNotGoKeepsNoneAtRestFromIt) {
  const auto a = open();
  const auto b = open();
  pass(1'000);
  const auto c = ask();
  ASSERT_EQ(called_back_, std::set<Ticket>{a});
  used(b, true);
  EXPECT_EQ(called_back_, std::set<Ticket>{a}) << "it has a turn's time";
  pass(1'000);
  used(b);
  EXPECT_EQ(called_back_, std::set<Ticket>{a}) << "busy ones do not go in its place";
  used(b, true);
  EXPECT_EQ(called_back_, (std::set<Ticket>{a, b}));
  turns_.give_back(b, now_);
  EXPECT_EQ(granted_, std::set<Ticket>{c});
}

TEST_F(Turns, ATurnBeginsWhenTheStreamIsOpen) {
  const auto a = ask();
  open();
  ask();
  pass(900);
  turns_.opened(a, now_);
  pass(900);
  turns_.opened(a, now_);  // again: no new turn
  used(a);
  EXPECT_FALSE(called_back_.contains(a));
  pass(100);
  used(a);
  EXPECT_EQ(called_back_.size(), 1u);
}

TEST_F(Turns, TheQueueIsServedInOrderAndMayBeLeft) {
  const auto a = open();
  const auto b = open();
  const auto c = ask();
  const auto d = ask();
  const auto e = ask();
  turns_.give_back(d, now_);
  EXPECT_EQ(turns_.waiting(), 2u);
  turns_.give_back(a, now_);
  EXPECT_EQ(granted_, std::set<Ticket>{c});
  turns_.give_back(b, now_);
  EXPECT_EQ(granted_, (std::set<Ticket>{c, e}));
  EXPECT_EQ(turns_.in_use(), 2u);
}

// Six tables that always have something to send, two streams: all are served alike.
TEST_F(Turns, BusyTablesShareTheStreamsEvenly) {
  std::map<int, Ticket> ticket;
  std::map<int, int> served;
  for (int table = 0; table < 6; ++table) ticket[table] = ask();
  for (int step = 0; step < 3'000; ++step, pass(10)) {
    for (auto& [table, mine] : ticket) {
      if (!turns_.has(mine)) continue;
      turns_.opened(mine, now_);
      used(mine);
      ++served[table];
      if (!called_back_.contains(mine)) continue;
      turns_.give_back(mine, now_);
      mine = ask();
    }
    EXPECT_LE(turns_.in_use(), 2u);
  }
  for (int table = 0; table < 6; ++table) EXPECT_GE(served[table], 800) << table;
}

}  // namespace
}  // namespace penstock::lane
