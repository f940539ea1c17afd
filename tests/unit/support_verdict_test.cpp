// The judge of the demo and the end-to-end tests must itself be able to say no.
#include <gtest/gtest.h>

#include "tests/support/verdict.h"

namespace penstock::test {
namespace {

const std::map<uint64_t, int64_t> kSent = {{1, 100}, {2, 200}, {3, 300}, {4, 400}};

TEST(Verdict, EverythingLandedOnceIsClean) {
  const auto verdict = judge("t", "mqtt", kSent, {{1, 1}, {2, 1}, {3, 1}, {4, 1}}, {});
  EXPECT_EQ(verdict.sent, 4u);
  EXPECT_EQ(verdict.landed, 4u);
  EXPECT_EQ(verdict.duplicates, 0u);
  EXPECT_EQ(verdict.missing, 0u);
  EXPECT_EQ(verdict.lost_while_down, 0u);
}

TEST(Verdict, ARecordThatDidNotLandIsMissingAndNamed) {
  const auto verdict = judge("t", "mqtt", kSent, {{1, 1}, {3, 3}, {4, 1}}, {});
  EXPECT_EQ(verdict.missing, 1u);
  EXPECT_EQ(verdict.missing_ids, std::vector<uint64_t>{2});
  EXPECT_EQ(verdict.landed, 3u);
  EXPECT_EQ(verdict.duplicates, 2u);
}

TEST(Verdict, OnlyLossesInsideADownWindowAreExcused) {
  const Window down[] = {{200, 300}};
  const auto verdict = judge("t", "udp", kSent, {{1, 1}}, down);
  EXPECT_EQ(verdict.lost_while_down, 2u);
  EXPECT_EQ(verdict.missing, 1u);
  EXPECT_EQ(verdict.missing_ids, std::vector<uint64_t>{4});
}

TEST(Verdict, AnOutageReachesBackToTheLastRecordThatLandedBeforeIt) {
  const Outage outage[] = {{{350, 360}, 1000}};
  const auto windows = reaching_back(outage, kSent, {{1, 1}, {4, 1}});
  EXPECT_EQ(judge("t", "udp", kSent, {{1, 1}, {4, 1}}, windows).lost_while_down, 2u);
}

TEST(Verdict, AHoleBeforeTheLastRecordThatLandedIsNoPartOfAnOutage) {
  const Outage outage[] = {{{350, 360}, 1000}};
  const std::map<int64_t, uint32_t> landed = {{1, 1}, {3, 1}, {4, 1}};
  const auto verdict = judge("t", "udp", kSent, landed, reaching_back(outage, kSent, landed));
  EXPECT_EQ(verdict.missing_ids, std::vector<uint64_t>{2});
}

TEST(Verdict, AnOutageReachesBackNoFurtherThanItsBound) {
  const Outage outage[] = {{{350, 360}, 60}};
  const auto windows = reaching_back(outage, kSent, {{4, 1}});
  EXPECT_EQ(judge("t", "udp", kSent, {{4, 1}}, windows).missing, 2u);
}

TEST(Verdict, ARowNobodyCountsAsSentDoesNotHideAMissingOne) {
  const auto verdict = judge("t", "mqtt", {{1, 1}, {2, 1}}, {{1, 1}, {99, 1}}, {});
  EXPECT_EQ(verdict.landed, 2u);
  EXPECT_EQ(verdict.missing, 1u);
}

TEST(Percentile, NearestRank) {
  EXPECT_EQ(percentile({}, 50), std::nullopt);
  EXPECT_EQ(percentile({7}, 99), 7);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 50), 2);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 99), 4);
}

}  // namespace
}  // namespace penstock::test
