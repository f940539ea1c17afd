// What a token endpoint's JSON answer says, as far as it matters here. The only user of simdjson in
// this module.
//
// Pure. The body comes from whoever answers under the workspace's address, so it may be anything:
// what is not one complete JSON object (RFC 8259, UTF-8, nested at most 64 deep) is nothing at all.
// Of a key given twice the first counts; members of another type than expected are as if missing.
// The parser's own complaints are not passed on: they may quote a token.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::zerobus {

struct TokenJson {
  std::string access_token;  // as sent, not checked; empty: none
  // `expires_in`, a whole number of at least 1 or such a number in quotes; at most 30 days.
  std::optional<std::chrono::seconds> lifetime;
  std::string error;  // RFC 6749, section 5.2
  std::string error_description;
  std::string message;  // of the REST interface's errors
};

std::optional<TokenJson> parse_token_json(std::string_view body);

}  // namespace penstock::zerobus
