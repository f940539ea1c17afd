// Checks the part of the configuration that belongs to a plugin against the plugin's option table.
//
// Pure. Mirrors penstock_option of plugins/sdk/penstock_plugin.h without including it: the host
// translates. What comes back is what penstock_value carries: names are paths with list indexes
// filled in (`subscribe[0].filter`), defaults are in place, numbers are in bytes, milliseconds or
// 0/1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/node.h"

namespace penstock::config {

// The numbers are those of penstock_option_type.
enum class OptionType {
  kString = 0,
  kBool = 1,
  kInteger = 2,
  kSize = 3,
  kDuration = 4,
  kEnum = 5,
  kSecret = 6,
  kPath = 7,
  kStringList = 8,
};

struct OptionSpec {
  std::string name;  // `line.baud`, `subscribe[].filter`
  OptionType type = OptionType::kString;
  std::optional<std::string> default_value;  // as written in YAML: `5s`, `[a, b]`
  std::vector<std::string> choices;          // for kEnum
  int64_t min = 0;                           // inclusive; min == max == 0: no limits
  int64_t max = 0;
  bool required = false;  // inside a list: in every element
  std::string help;
};

struct OptionValue {
  std::string name;
  OptionType type = OptionType::kString;
  std::string text;    // kString, kEnum, kSecret, kPath, elements of kStringList
  int64_t number = 0;  // kBool, kInteger, kSize, kDuration
  // kSecret: as it stands in the file, and where relative ${file:...} in it start; for reread().
  std::string written = {};
  std::filesystem::path folder = {};
};

// `options` is Input::options: a map, references already resolved. Problems are appended to
// `problems`, all of them; when an error was appended the values are incomplete. Values come in the
// order of `specs`.
std::vector<OptionValue> check_options(const Node& options, std::span<const OptionSpec> specs,
                                       std::string_view plugin, std::vector<Problem>& problems);

}  // namespace penstock::config
