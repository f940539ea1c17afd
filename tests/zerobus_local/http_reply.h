// One HTTP exchange of the admin port, as values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::local {

struct HttpCall {
  std::string_view method;
  std::string_view target;  // path and query, still percent-encoded
  std::string_view authorization;
  std::string_view content_type;
  std::string_view body;
};

struct HttpReply {
  int status = 200;
  std::string body;  // JSON, as a rule
  std::optional<int> retry_after_s = std::nullopt;
  bool never = false;  // the call is taken and never answered
};

// The pieces of a request target, percent-decoded.
struct Target {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;
};
Target split_target(std::string_view target);

// Pairs of an application/x-www-form-urlencoded text, decoded.
std::vector<std::pair<std::string, std::string>> split_form(std::string_view form);

// {"error": what}
HttpReply http_error(int status, std::string_view what);

}  // namespace penstock::local
