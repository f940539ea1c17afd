// Goal: ABI 1 stays as it was frozen. A plugin that was built once must run for ever, so no field
// of version 1.0 may move and no number may change. New fields go to the end and are not listed
// here.
#include <cstddef>

#include <gtest/gtest.h>

#include "plugins/sdk/penstock_plugin.h"

namespace penstock::host {
namespace {

// Offsets where pointers have eight bytes; where they have four, the compiler's rules are the same.
#if UINTPTR_MAX == 0xFFFFFFFFFFFFFFFF

TEST(PluginAbi, FieldsOfVersionOneStayWhereTheyAre) {
  EXPECT_EQ(PENSTOCK_ABI_MAJOR, 1u);
  EXPECT_EQ(sizeof(penstock_str), 16u);
  EXPECT_EQ(sizeof(penstock_attribute), 32u) << "has no size field: can never grow";

  EXPECT_EQ(offsetof(penstock_record, topic), 8u);
  EXPECT_EQ(offsetof(penstock_record, payload), 24u);
  EXPECT_EQ(offsetof(penstock_record, attributes), 40u);
  EXPECT_EQ(offsetof(penstock_record, attribute_count), 48u);
  EXPECT_EQ(offsetof(penstock_record, received_at_us), 56u);

  EXPECT_EQ(offsetof(penstock_host, abi_minor), 4u);
  EXPECT_EQ(offsetof(penstock_host, context), 8u);
  EXPECT_EQ(offsetof(penstock_host, instance_id), 16u);
  EXPECT_EQ(offsetof(penstock_host, agent_id), 32u);
  EXPECT_EQ(offsetof(penstock_host, max_emit_bytes), 48u);
  EXPECT_EQ(offsetof(penstock_host, emit), 56u);
  EXPECT_EQ(offsetof(penstock_host, flush_hint), 64u);
  EXPECT_EQ(offsetof(penstock_host, log), 72u);
  EXPECT_EQ(offsetof(penstock_host, set_state), 80u);

  // Since 1.1
  EXPECT_EQ(offsetof(penstock_host, set_aside), 88u);
  EXPECT_EQ(offsetof(penstock_host, remember), 96u);
  EXPECT_EQ(offsetof(penstock_host, recall), 104u);

  // Since 1.3
  EXPECT_EQ(offsetof(penstock_host, secret), 112u);

  EXPECT_EQ(offsetof(penstock_option, required), 4u);
  EXPECT_EQ(offsetof(penstock_option, name), 8u);
  EXPECT_EQ(offsetof(penstock_option, type), 16u);
  EXPECT_EQ(offsetof(penstock_option, default_value), 24u);
  EXPECT_EQ(offsetof(penstock_option, choices), 32u);
  EXPECT_EQ(offsetof(penstock_option, min), 40u);
  EXPECT_EQ(offsetof(penstock_option, max), 48u);
  EXPECT_EQ(offsetof(penstock_option, help), 56u);

  EXPECT_EQ(offsetof(penstock_value, type), 4u);
  EXPECT_EQ(offsetof(penstock_value, name), 8u);
  EXPECT_EQ(offsetof(penstock_value, text), 16u);
  EXPECT_EQ(offsetof(penstock_value, number), 32u);

  EXPECT_EQ(offsetof(penstock_stat, kind), 4u);
  EXPECT_EQ(offsetof(penstock_stat, name), 8u);
  EXPECT_EQ(offsetof(penstock_stat, help), 16u);
  EXPECT_EQ(offsetof(penstock_stat, value), 24u);

  // Since 1.2
  EXPECT_EQ(offsetof(penstock_stat, loss), 32u);
}

TEST(PluginAbi, TheDescriptorOfVersionOneStaysAsItIs) {
  EXPECT_EQ(offsetof(penstock_plugin, struct_size), 0u);
  EXPECT_EQ(offsetof(penstock_plugin, abi_major), 4u);
  EXPECT_EQ(offsetof(penstock_plugin, abi_minor), 8u);
  EXPECT_EQ(offsetof(penstock_plugin, name), 16u);
  EXPECT_EQ(offsetof(penstock_plugin, version), 24u);
  EXPECT_EQ(offsetof(penstock_plugin, summary), 32u);
  EXPECT_EQ(offsetof(penstock_plugin, options), 40u);
  EXPECT_EQ(offsetof(penstock_plugin, option_count), 48u);
  EXPECT_EQ(offsetof(penstock_plugin, create), 56u);
  EXPECT_EQ(offsetof(penstock_plugin, start), 64u);
  EXPECT_EQ(offsetof(penstock_plugin, on_durable), 72u);
  EXPECT_EQ(offsetof(penstock_plugin, on_room), 80u);
  EXPECT_EQ(offsetof(penstock_plugin, quiesce), 88u);
  EXPECT_EQ(offsetof(penstock_plugin, stop), 96u);
  EXPECT_EQ(offsetof(penstock_plugin, destroy), 104u);
  EXPECT_EQ(offsetof(penstock_plugin, stats), 112u);
}

#endif

TEST(PluginAbi, NumbersStayAsTheyAre) {
  EXPECT_STREQ(PENSTOCK_DESCRIPTOR_SYMBOL, "penstock_plugin_descriptor");
  EXPECT_EQ(PENSTOCK_EMIT_OK, 0);
  EXPECT_EQ(PENSTOCK_EMIT_FULL, 1);
  EXPECT_EQ(PENSTOCK_EMIT_TOO_BIG, 2);
  EXPECT_EQ(PENSTOCK_EMIT_CLOSED, 3);
  EXPECT_EQ(PENSTOCK_LOG_DEBUG, 0);
  EXPECT_EQ(PENSTOCK_LOG_INFO, 1);
  EXPECT_EQ(PENSTOCK_LOG_WARNING, 2);
  EXPECT_EQ(PENSTOCK_LOG_ERROR, 3);
  EXPECT_EQ(PENSTOCK_STATE_STARTING, 0);
  EXPECT_EQ(PENSTOCK_STATE_UP, 1);
  EXPECT_EQ(PENSTOCK_STATE_DEGRADED, 2);
  EXPECT_EQ(PENSTOCK_STATE_DOWN, 3);
  EXPECT_EQ(PENSTOCK_STATE_STOPPED, 4);
  EXPECT_EQ(PENSTOCK_OPTION_STRING, 0);
  EXPECT_EQ(PENSTOCK_OPTION_BOOL, 1);
  EXPECT_EQ(PENSTOCK_OPTION_INTEGER, 2);
  EXPECT_EQ(PENSTOCK_OPTION_SIZE, 3);
  EXPECT_EQ(PENSTOCK_OPTION_DURATION, 4);
  EXPECT_EQ(PENSTOCK_OPTION_ENUM, 5);
  EXPECT_EQ(PENSTOCK_OPTION_SECRET, 6);
  EXPECT_EQ(PENSTOCK_OPTION_PATH, 7);
  EXPECT_EQ(PENSTOCK_OPTION_STRING_LIST, 8);
  EXPECT_EQ(PENSTOCK_STAT_COUNTER, 0);
  EXPECT_EQ(PENSTOCK_STAT_GAUGE, 1);
}

}  // namespace
}  // namespace penstock::host
