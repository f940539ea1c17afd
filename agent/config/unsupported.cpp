#include "agent/config/unsupported.h"

#include <array>

namespace penstock::config {
namespace {

enum class When { kAlways, kIs, kIsNot, kContains };

struct Reserved {
  std::string_view pattern;
  When when;
  std::string_view text;
  std::string_view instead;
};

// `route_defaults` holds what a route holds; rows of routes count for both.
constexpr std::array kReserved{
    Reserved{"destinations.*.tls.cert", When::kAlways, "", "remove it"},
    Reserved{"destinations.*.tls.key", When::kAlways, "", "remove it"},
    Reserved{"routes[].renamed_from[]", When::kAlways, "", "leave the list empty"},
    Reserved{"routes[].table", When::kContains, "${payload", "build the name from the topic"},
    Reserved{"routes[].format", When::kIs, "csv", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "line", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "cbor", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "msgpack", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "protobuf", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "sparkplug_b", "use json or raw"},
    Reserved{"routes[].format", When::kIs, "nmea", "use json or raw"},
    Reserved{"routes[].unknown_fields", When::kIs, "rescue", "use reject or ignore"},
    Reserved{"control.listen", When::kIsNot, "none", "use none"},
};

bool applies(const Reserved& row, std::optional<std::string_view> text) {
  switch (row.when) {
    case When::kAlways:
      return true;
    case When::kIs:
      return text && *text == row.text;
    case When::kIsNot:
      return text && *text != row.text;
    case When::kContains:
      return text && text->find(row.text) != std::string_view::npos;
  }
  return false;
}

}  // namespace

std::optional<std::string_view> not_supported_yet(std::string_view pattern,
                                                  std::optional<std::string_view> text) {
  std::string as_route;
  constexpr std::string_view kDefaults = "route_defaults.";
  if (pattern.starts_with(kDefaults)) {
    as_route = "routes[]." + std::string(pattern.substr(kDefaults.size()));
    pattern = as_route;
  }
  for (const auto& row : kReserved) {
    if (row.pattern == pattern && applies(row, text)) return row.instead;
  }
  return {};
}

}  // namespace penstock::config
