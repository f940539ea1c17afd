// The UDP input through its C descriptor, as the host calls it.
#include <array>

#include <gtest/gtest.h>

// The module's only source; the rest is linked. NOLINTNEXTLINE(bugprone-suspicious-include)
#include "plugins/udp/plugin.cpp"
#include "tests/support/plugin_descriptor.h"
#include "tests/support/ports.h"

namespace penstock::udp {
namespace {

using UdpDescriptor = test::PluginDescriptor;

TEST_F(UdpDescriptor, NamesItselfAndItsAbi) { expect_named("udp", std::size(kOptions)); }

TEST_F(UdpDescriptor, LivesAndEndsThroughTheCFunctions) {
  test::OptionValues values;
  const auto listen = "127.0.0.1:" + std::to_string(test::free_udp_port());
  values.text("listen", listen).text("split", "none").number("max_datagram", 8192);
  ASSERT_EQ(create(values), 0) << error.data();
  ASSERT_EQ(plugin->start(instance, error.data(), error.size()), 0);
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_UP, "listening on " + listen));
  plugin->on_durable(instance, 1);
  plugin->on_room(instance);
  std::array<penstock_stat, 2> some{};
  for (auto& stat : some) stat.struct_size = sizeof stat;
  EXPECT_GE(plugin->stats(instance, some.data(), some.size()), 8u) << "says how many there are";
  plugin->quiesce(instance);
  plugin->stop(instance);
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_STOPPED));
  plugin->destroy(instance);
}

TEST_F(UdpDescriptor, CreateRefusesWithTheReason) {
  test::OptionValues values;
  values.text("listen", "everywhere");
  EXPECT_NE(create(values), 0);
  EXPECT_NE(std::string(error.data()).find("listen: 'everywhere'"), std::string::npos)
      << error.data();
}

TEST_F(UdpDescriptor, APortThatChangesWithEachStartIsRefused) {
  test::OptionValues values;
  values.text("listen", "0.0.0.0:0");
  EXPECT_NE(create(values), 0);
  EXPECT_NE(std::string(error.data()).find("listen: port 0 "), std::string::npos) << error.data();
}

}  // namespace
}  // namespace penstock::udp
