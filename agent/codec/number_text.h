// Numbers as text, computed with exactly: no number passes through binary floating point on its way
// to a row.
//
// Pure; views into the text parsed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::codec {

struct NumberText {
  bool negative = false;
  std::string_view whole;     // digits before the point, at least one
  std::string_view fraction;  // digits after the point, may be empty
  int64_t exponent = 0;       // power of ten, clamped to +-kMaxExponent
  bool is_json = false;       // the text is a JSON number as it stands

  static constexpr int64_t kMaxExponent = 1'000'000'000;
};

// A JSON number (RFC 8259 section 6); beyond that a leading `+` and leading zeros are understood,
// as scales and meters send them.
std::optional<NumberText> parse_number(std::string_view text);

// The length of the JSON number at the front of `text` if a double certainly holds it: nearly every
// number there is, without looking at its value. 0: none, or one that parse_number has to judge.
size_t held_number(std::string_view text);

struct ScaledInteger {
  int64_t value;
  bool exact;  // false: a fraction was cut off, towards minus infinity
};
// number * 10^shift as an integer; nullopt when that does not fit 64 bits.
std::optional<ScaledInteger> scaled_integer(const NumberText& number, int shift);

// Whether the magnitude of `text` (a number as above) can be held; too small is held as 0.
bool fits_double(std::string_view text, const NumberText& number);
bool fits_float(std::string_view text, const NumberText& number);

// Appends the number as JSON, same value, same digits.
void append_json_number(std::string_view text, const NumberText& number, std::string& out);

// Appends the number without exponent, leading or trailing zeros. False, and nothing appended, when
// it has more than `scale` digits after the point or more than `precision - scale` before it.
bool append_decimal(const NumberText& number, int precision, int scale, std::string& out);

}  // namespace penstock::codec
