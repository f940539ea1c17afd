#include "tests/zerobus_local/http_reply.h"

#include <algorithm>

#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> split_form(std::string_view form) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!form.empty()) {
    const std::string_view pair = form.substr(0, form.find('&'));
    form.remove_prefix(std::min(form.size(), pair.size() + 1));
    const size_t equals = std::min(pair.find('='), pair.size());
    out.emplace_back(percent_decoded(pair.substr(0, equals)),
                     percent_decoded(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return out;
}

Target split_target(std::string_view target) {
  Target out;
  const size_t mark = target.find('?');
  out.path = percent_decoded(target.substr(0, mark));
  if (mark != std::string_view::npos) out.query = split_form(target.substr(mark + 1));
  return out;
}

HttpReply http_error(int status, std::string_view what) {
  std::string body = "{\"error\":";
  append_json_string(what, body);
  return {status, body + "}"};
}

}  // namespace penstock::local
