#include "tests/zerobus_local/scalars.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>

#include <spdlog/fmt/fmt.h>

namespace penstock::local {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kSampleBytes = 40;

template <class T>
bool fits(int64_t value) {
  return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

size_t utf8_length(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

bool fits_decimal(std::string_view text, const Type& type) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  const size_t dot = std::min(text.find('.'), text.size());
  auto whole = text.substr(0, dot);
  const auto fraction = dot < text.size() ? text.substr(dot + 1) : std::string_view();
  const auto digits = [](std::string_view s) {
    return std::all_of(s.begin(), s.end(), [](unsigned char c) { return std::isdigit(c); });
  };
  if (whole.empty() && fraction.empty()) return false;
  if (!digits(whole) || !digits(fraction)) return false;
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  return whole.size() <= static_cast<size_t>(type.precision - type.scale) &&
         fraction.size() <= static_cast<size_t>(type.scale);
}

int base64_digit(char c) {
  if (c == '-') c = '+';
  if (c == '_') c = '/';
  const size_t at = kBase64.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

template <class T>
void append_number(T value, std::string& out) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

}  // namespace

std::optional<std::string> check_integer(int64_t value, const Type& type) {
  bool ok = true;
  if (type.kind == Kind::kTinyint) ok = fits<int8_t>(value);
  if (type.kind == Kind::kSmallint) ok = fits<int16_t>(value);
  if (type.kind == Kind::kInt || type.kind == Kind::kDate) ok = fits<int32_t>(value);
  if (ok) return std::nullopt;
  return std::to_string(value) + " does not fit";
}

std::optional<std::string> check_text(std::string_view text, const Type& type,
                                      simdjson::dom::parser& scratch) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return "the text is not valid UTF-8";
  if (type.kind == Kind::kVarchar && utf8_length(text) > static_cast<size_t>(type.precision)) {
    return "the text has " + std::to_string(utf8_length(text)) + " characters";
  }
  if (type.kind == Kind::kDecimal && !fits_decimal(text, type)) {
    return quoted_sample(text) + " is not a decimal number that fits";
  }
  if (type.kind == Kind::kVariant) {
    const auto error = scratch.parse(text.data(), text.size()).error();
    if (error) {
      return quoted_sample(text) + " is not JSON text (" + simdjson::error_message(error) + ")";
    }
  }
  return std::nullopt;
}

bool decode_base64(std::string_view text, std::string& out) {
  if (text.size() % 4 == 0) {  // padding only ever completes a group of four
    for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return false;
  out.clear();
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = base64_digit(c);
    if (digit < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>(bits >> count & 0xFF));
    }
  }
  return true;
}

void append_base64(std::string_view bytes, std::string& out) {
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (k < n ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      out.push_back(k <= n ? kBase64[bits >> (18 - 6 * k) & 0x3F] : '=');
    }
  }
}

void append_json_string(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void append_json_number(double value, std::string& out) { append_number(value, out); }
void append_json_number(float value, std::string& out) { append_number(value, out); }

std::string quoted_sample(std::string_view text) {
  std::string out;
  size_t end = std::min(text.size(), kSampleBytes);
  while (end > 0 && end < text.size() && (text[end] & 0xC0) == 0x80) --end;  // whole characters
  append_json_string(text.substr(0, end), out);
  if (end < text.size()) out += "...";
  return out;
}

}  // namespace penstock::local
