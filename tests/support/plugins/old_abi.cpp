// A plugin of the ABI before the first: only the fields that never move make sense.
#include "plugins/sdk/penstock_plugin.h"

extern "C" __attribute__((visibility("default"))) const penstock_plugin*
penstock_plugin_descriptor() {
  static const penstock_plugin plugin = [] {
    penstock_plugin other{};
    other.struct_size = 24;
    other.abi_major = 0;
    other.abi_minor = 1;
    return other;
  }();
  return &plugin;
}
