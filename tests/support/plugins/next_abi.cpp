// A plugin of the next major version of the ABI: the rest of its descriptor is anything.
#include <cstring>

#include "plugins/sdk/penstock_plugin.h"

extern "C" __attribute__((visibility("default"))) const penstock_plugin*
penstock_plugin_descriptor() {
  static const penstock_plugin plugin = [] {
    penstock_plugin other;
    std::memset(&other, 0x5A, sizeof other);
    other.struct_size = sizeof other + 64;
    other.abi_major = PENSTOCK_ABI_MAJOR + 1;
    other.abi_minor = 0;
    return other;
  }();
  return &plugin;
}
