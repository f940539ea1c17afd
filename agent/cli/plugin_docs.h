// What a plugin's option table says, for people, for a manual and for editors. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "agent/config/options.h"

namespace penstock::cli {

struct PluginFace {
  std::string name;
  std::string version;
  std::string summary;
};

// One paragraph an option: key, type, default, limits, help.
std::string options_text(const PluginFace& plugin, std::span<const config::OptionSpec> options);
// The same as a Markdown table.
std::string options_markdown(const PluginFace& plugin, std::span<const config::OptionSpec> options);
// A JSON Schema (draft 2020-12) of one entry of `inputs:`.
std::string options_schema(const PluginFace& plugin, std::span<const config::OptionSpec> options);

}  // namespace penstock::cli
