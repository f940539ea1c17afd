#include "agent/codec/json_text.h"

#include <simdjson.h>

namespace penstock::codec {
namespace {

void append_escaped(char c, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
  }
}

bool is_white_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool needs_escape(char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; }

}  // namespace

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text); }

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  size_t copied = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!needs_escape(text[i])) continue;
    out.append(text.substr(copied, i - copied));
    append_escaped(text[i], out);
    copied = i + 1;
  }
  out.append(text.substr(copied));
  out += '"';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_white_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_white_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace penstock::codec
