#include "agent/zerobus/token_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <simdjson.h>

namespace penstock::zerobus {
namespace {

namespace dom = simdjson::dom;

constexpr double kMaxLifetimeS = 30.0 * 24 * 3600;
constexpr size_t kMaxDepth = 64;
constexpr size_t kMinCapacity = 1024;

std::string text_at(const dom::object& object, std::string_view key) {
  std::string_view text;
  if (object.at_key(key).get(text) != simdjson::SUCCESS) return {};
  return std::string(text);
}

// Some workspaces give the number in quotes.
std::optional<double> number_in(std::string_view text) {
  int64_t whole = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (code != std::errc() || stop != text.data() + text.size()) return {};
  return static_cast<double>(whole);
}

std::optional<std::chrono::seconds> lifetime_of(const dom::object& object) {
  dom::element value;
  if (object.at_key("expires_in").get(value) != simdjson::SUCCESS) return {};
  double seconds = 0;
  if (std::string_view text; value.get(text) == simdjson::SUCCESS) {
    seconds = number_in(text).value_or(0);
  } else if (value.get(seconds) != simdjson::SUCCESS) {  // of integers, too
    return {};
  }
  if (!(seconds >= 1) || std::floor(seconds) != seconds) return {};
  return std::chrono::seconds(static_cast<int64_t>(std::min(seconds, kMaxLifetimeS)));
}

}  // namespace

std::optional<TokenJson> parse_token_json(std::string_view body) {
  if (body.empty()) return {};
  dom::parser parser;
  if (parser.allocate(std::max(body.size(), kMinCapacity), kMaxDepth) != simdjson::SUCCESS) {
    return {};
  }
  dom::object object;
  if (parser.parse(body.data(), body.size()).get(object) != simdjson::SUCCESS) return {};
  return TokenJson{text_at(object, "access_token"), lifetime_of(object), text_at(object, "error"),
                   text_at(object, "error_description"), text_at(object, "message")};
}

}  // namespace penstock::zerobus
