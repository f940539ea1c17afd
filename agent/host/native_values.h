// Checked options as the plugin ABI passes them. Pure; the result borrows from `values`.
#pragma once

#include <vector>

#include "agent/config/options.h"
#include "plugins/sdk/penstock_plugin.h"

namespace penstock::host {

inline std::vector<penstock_value> native_values(const std::vector<config::OptionValue>& values) {
  std::vector<penstock_value> native;
  native.reserve(values.size());
  for (const auto& value : values) {
    native.push_back({sizeof(penstock_value),
                      static_cast<penstock_option_type>(value.type),
                      value.name.c_str(),
                      {value.text.data(), value.text.size()},
                      value.number});
  }
  return native;
}

}  // namespace penstock::host
