#include "tests/zerobus_local/admin_arguments.h"

#include <algorithm>
#include <charconv>

#include "tests/zerobus_local/faults.h"

namespace penstock::local {

Arguments::Arguments(const Target& target, std::vector<std::string_view> known)
    : query_(target.query) {
  for (const auto& [key, value] : query_) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    std::string names;
    for (const auto name : known) names += (names.empty() ? "" : ", ") + std::string(name);
    fail("unknown argument '" + key + "'; known here: " + (names.empty() ? "none" : names));
  }
}

std::optional<std::string> Arguments::text(std::string_view name) const {
  for (const auto& [key, value] : query_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Arguments::needed(std::string_view name) {
  auto given = text(name);
  if (!given || given->empty()) fail("argument '" + std::string(name) + "' is missing");
  return given.value_or("");
}

int64_t Arguments::number(std::string_view name, std::optional<int64_t> otherwise, int64_t min,
                          int64_t max) {
  const auto given = text(name);
  if (!given) {
    if (!otherwise) fail("argument '" + std::string(name) + "' is missing");
    return otherwise.value_or(min);
  }
  int64_t value = 0;
  const auto* end = given->data() + given->size();
  const auto [stop, code] = std::from_chars(given->data(), end, value);
  if (code == std::errc() && stop == end && value >= min && value <= max) return value;
  fail("argument '" + std::string(name) + "' must be a whole number from " + std::to_string(min) +
       " to " + std::to_string(max));
  return min;
}

bool Arguments::flag(std::string_view name, bool otherwise) {
  const auto given = text(name);
  if (given && *given != "true" && *given != "false") {
    fail("argument '" + std::string(name) + "' must be true or false");
  }
  return given ? *given == "true" : otherwise;
}

grpc::StatusCode Arguments::status() {
  const auto given = text("status");
  const auto code = given ? parse_status(*given) : std::nullopt;
  if (!code) fail("argument 'status' must be a gRPC status name, such as UNAVAILABLE");
  return code.value_or(grpc::StatusCode::UNKNOWN);
}

void Arguments::fail(std::string what) {
  if (problem_.empty()) problem_ = std::move(what);
}

}  // namespace penstock::local
