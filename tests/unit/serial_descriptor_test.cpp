// The serial input through its C descriptor, as the host calls it: the table's defaults make a
// working instance.
#include <string>

#include <gtest/gtest.h>

#include "plugins/serial/framing.h"
#include "plugins/serial/plugin.cpp"  // the module's only source; the rest is linked
#include "tests/support/plugin_descriptor.h"

namespace penstock::serial {
namespace {

test::OptionValues table_defaults() {
  test::OptionValues values;
  for (const auto& row : kOptions) {
    if (!row.default_value) continue;
    const std::string text = row.default_value;
    switch (row.type) {
      case PENSTOCK_OPTION_INTEGER:
        values.number(row.name, std::stoll(text), row.type);
        break;
      case PENSTOCK_OPTION_BOOL:
        values.number(row.name, text == "true", row.type);
        break;
      case PENSTOCK_OPTION_SIZE:
        EXPECT_TRUE(text.ends_with("KiB"));
        values.number(row.name, std::stoll(text) * 1024, row.type);
        break;
      default:
        values.text(row.name, text, row.type);
    }
  }
  return values;
}

using SerialDescriptor = test::PluginDescriptor;

TEST_F(SerialDescriptor, NamesItselfAndItsAbi) { expect_named("serial", std::size(kOptions)); }

TEST_F(SerialDescriptor, DefaultsOfTheTableMakeAWorkingInstance) {
  auto values = table_defaults();
  values.text("device", "/nowhere/port", PENSTOCK_OPTION_PATH);
  ASSERT_EQ(create(values), 0) << error.data();
  ASSERT_EQ(plugin->start(instance, error.data(), error.size()), 0)
      << "a missing device is no error of start";
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_DOWN, "/nowhere/port"));
  plugin->on_durable(instance, 1);
  plugin->on_room(instance);
  EXPECT_GE(plugin->stats(instance, nullptr, 0), 8u);
  plugin->quiesce(instance);
  plugin->stop(instance);
  EXPECT_TRUE(host.wait_state(PENSTOCK_STATE_STOPPED));
  plugin->destroy(instance);
}

TEST_F(SerialDescriptor, WhatTheTableCannotCheckIsRefusedInCreateWithTheReason) {
  test::OptionValues values;
  values.text("device", "/nowhere/port").text("framing.type", "fixed");
  EXPECT_NE(create(values), 0);
  EXPECT_NE(std::string(error.data()).find("framing.length: "), std::string::npos) << error.data();
}

TEST_F(SerialDescriptor, EveryFramingOfTheTableIsKnownOrRefusedByName) {
  std::string choices;
  for (const auto& row : kOptions) {
    if (std::string_view(row.name) == "framing.type") choices = row.choices;
  }
  for (size_t from = 0; from < choices.size();) {
    const size_t end = std::min(choices.find('|', from), choices.size());
    FramingSettings settings;
    settings.type = choices.substr(from, end - from);
    settings.length_bytes = 4;
    from = end + 1;
    EXPECT_NO_THROW(make_framing(settings)) << settings.type;
  }
}

}  // namespace
}  // namespace penstock::serial
