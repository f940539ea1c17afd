// What the configuration means for the parts that are built from it.
#include <gtest/gtest.h>

#include "agent/app/compose.h"

namespace penstock::app {
namespace {

config::Config load(const std::string& more) {
  const auto loaded = config::load_text(
      "version: 1\n"
      "agent: {id: gw}\n"
      "destinations: {d: {endpoint: \"http://127.0.0.1:1\", auth: {token: t}, schema: none}}\n"
      "inputs:\n"
      "  plc: {plugin: mqtt, server: \"mqtt://127.0.0.1\"}\n"
      "  vib: {plugin: udp, topic: v}\n"
      "  answered: {plugin: udp, topic: a, ack_bytes: 8}\n"
      "  scale: {plugin: serial, topic: s}\n" +
          more,
      "c.yaml", "/tmp", config::system_environment());
  for (const auto& problem : loaded.problems) {
    if (!problem.warning) ADD_FAILURE() << config::to_string(problem);
  }
  return loaded.config;
}

std::string route(const std::string& name, const std::string& match, const std::string& more = {}) {
  return "  - {name: " + name + ", match: {" + match + "}, table: a.b." + name + more + "}\n";
}

TEST(Compose, AnOverflowPolicyIsChosenByWhoCanWait) {
  const auto config = load("routes:\n" + route("held", "input: plc") + route("udp", "input: vib") +
                           route("serial", "input: scale") + route("all", "topic: \"#\"") +
                           route("said", "input: vib", ", overflow: {policy: block}") +
                           route("answered", "input: answered"));
  const auto overflow = [&](size_t at) { return lane_policy(config, config.routes[at]).overflow; };
  EXPECT_EQ(overflow(0), spool::OverflowPolicy::kBlock);
  EXPECT_EQ(overflow(1), spool::OverflowPolicy::kDropOldest);
  EXPECT_EQ(overflow(2), spool::OverflowPolicy::kDropOldest);
  EXPECT_EQ(overflow(3), spool::OverflowPolicy::kBlock) << "MQTT is among its sources";
  EXPECT_EQ(overflow(4), spool::OverflowPolicy::kBlock);
  EXPECT_EQ(overflow(5), spool::OverflowPolicy::kBlock) << "its senders repeat";
}

TEST(Compose, LimitsReachTheSpoolAndIntake) {
  const auto config = load(
      "spool: {dir: /tmp, max_size: 100MiB, quarantine: {max_size: 10%}}\n"
      "unrouted: drop\n"
      "routes:\n" +
      route("r", "input: plc", ", overflow: {policy: drop_newest, max_share: 40%}, max_age: 7d"));
  const auto options = spool_options(config);
  EXPECT_EQ(options.quarantine_quota(), uint64_t{10} << 20);
  ASSERT_TRUE(options.policies.contains("r"));
  const auto& policy = options.policies.at("r");
  EXPECT_EQ(policy.overflow, spool::OverflowPolicy::kDropNewest);
  EXPECT_EQ(policy.max_share_percent, 40.0);
  EXPECT_EQ(policy.max_age, std::chrono::hours(7 * 24));
  EXPECT_TRUE(intake_limits(config).drop_unrouted);
}

}  // namespace
}  // namespace penstock::app
