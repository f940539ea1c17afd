// The parts of the configuration language that are named and reserved but not built yet.
//
// All of them stand in one table in unsupported.cpp; building a feature ends with deleting its line
// there.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock::config {

// What to use instead of the reserved thing; nullopt when `pattern` with `text` is fine. `pattern`
// is the path of the value with `*` for names and `[]` for elements: "destinations.*.encoding".
// Without `text` only keys that are reserved whatever they hold count.
std::optional<std::string_view> not_supported_yet(std::string_view pattern,
                                                  std::optional<std::string_view> text);

}  // namespace penstock::config
