// A plugin through its C descriptor, as the host calls it. The test includes the plugin's own
// source, which defines penstock_plugin_descriptor and the option table.
#pragma once

#include <array>

#include <gtest/gtest.h>

#include "plugins/sdk/penstock_plugin.h"
#include "tests/support/fake_plugin_host.h"

namespace penstock::test {

struct PluginDescriptor : testing::Test {
  const penstock_plugin* plugin = penstock_plugin_descriptor();
  FakePluginHost host;
  void* instance = nullptr;
  std::array<char, 200> error{};

  int create(const OptionValues& values) {
    const auto& list = values.values();
    return plugin->create(host.host(), list.data(), list.size(), &instance, error.data(),
                          error.size());
  }
  void expect_named(const char* name, size_t options) const {
    EXPECT_STREQ(plugin->name, name);
    EXPECT_EQ(plugin->abi_major, PENSTOCK_ABI_MAJOR);
    EXPECT_EQ(plugin->struct_size, sizeof(penstock_plugin));
    EXPECT_EQ(plugin->option_count, options);
  }
};

}  // namespace penstock::test
