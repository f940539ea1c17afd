// Goal: a trouble that lasts is said again at the pace that is configured (agent.log.repeat_every).
// Method: the decision alone, and an agent with an input and a destination that do not work.
#include <gtest/gtest.h>

#include "agent/app/lasting_trouble.h"
#include "tests/support/wait.h"
#include "tests/unit/app_rig.h"

namespace penstock::app {
namespace {

// --- the decision

class Lasting : public testing::Test {
 protected:
  // Time passes; who of those in trouble then is said again.
  std::string after(int64_t ms, const std::vector<std::string>& troubled) {
    now_ += Millis(ms);
    std::vector<Trouble> all;
    for (const auto& who : troubled) all.push_back({who, "down"});
    std::string said;
    for (const auto& one : lasting_.due(std::move(all), now_)) said += one.who;
    return said;
  }
  MonoTime now_{};
  LastingTrouble lasting_{Millis(1000)};
};

TEST_F(Lasting, EachTroubleIsRepeatedAtItsOwnTimeAsLongAsItLasts) {
  EXPECT_EQ(after(0, {"a"}), "") << "it has just said so itself";
  EXPECT_EQ(after(500, {"a", "b"}), "");
  EXPECT_EQ(after(499, {"a", "b"}), "");
  EXPECT_EQ(after(1, {"a", "b"}), "a");
  EXPECT_EQ(after(500, {"a", "b"}), "b");
  EXPECT_EQ(after(500, {"a", "b"}), "a");
}

TEST_F(Lasting, WhatIsOverIsForgotten) {
  after(0, {"a"});
  after(500, {});
  EXPECT_EQ(after(500, {"a"}), "") << "another trouble, which began just now";
  EXPECT_EQ(after(1000, {"a"}), "a");
}

// --- the agent

TEST(AgentTrouble, ALaneAndAnInputThatDoNotWorkSaySoAgain) {
  AgentRig rig;
  rig.start();
  rig.emit();
  const auto said = [&rig](const std::string& words) {
    return test::wait_until([&] { return rig.said().find(words) != std::string::npos; },
                            Millis(30'000));
  };
  EXPECT_TRUE(said("lane/1 a.b.c: still backoff: UNAVAILABLE")) << rig.said();
  EXPECT_TRUE(said("none-such/broken: still failed")) << rig.said();
  rig.agent().stop();
}

}  // namespace
}  // namespace penstock::app
