#include "agent/codec/number_text.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace penstock::codec {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view take_digits(std::string_view& rest) {
  const auto end = std::find_if_not(rest.begin(), rest.end(), is_digit);
  const std::string_view digits = rest.substr(0, static_cast<size_t>(end - rest.begin()));
  rest.remove_prefix(digits.size());
  return digits;
}

// `e` and what follows it; false when that is no exponent.
bool take_exponent(std::string_view& rest, int64_t& exponent) {
  rest.remove_prefix(1);
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  const std::string_view digits = take_digits(rest);
  for (const char c : digits) {
    exponent = std::min<int64_t>(exponent * 10 + (c - '0'), NumberText::kMaxExponent);
  }
  if (negative) exponent = -exponent;
  return !digits.empty();
}

// The digits of a number as one sequence.
class Digits {
 public:
  explicit Digits(const NumberText& number) : whole_(number.whole), fraction_(number.fraction) {}
  int64_t size() const { return static_cast<int64_t>(whole_.size() + fraction_.size()); }
  // Zero on both sides of what was written.
  char operator[](int64_t i) const {
    const auto whole_size = static_cast<int64_t>(whole_.size());
    if (i < 0 || i >= size()) return '0';
    return i < whole_size ? whole_[static_cast<size_t>(i)]
                          : fraction_[static_cast<size_t>(i - whole_size)];
  }
  // Index of the first digit that is not zero; size() when all are.
  int64_t first() const {
    int64_t i = 0;
    while (i < size() && (*this)[i] == '0') ++i;
    return i;
  }
  int64_t last() const {
    int64_t i = size() - 1;
    while (i >= 0 && (*this)[i] == '0') --i;
    return i;
  }

 private:
  std::string_view whole_;
  std::string_view fraction_;
};

// Where the point stands in the digits once the exponent is applied.
int64_t point_of(const NumberText& number) {
  return static_cast<int64_t>(number.whole.size()) + number.exponent;
}

template <class Float>
bool fits(std::string_view text, const NumberText& number) {
  // Short plain numbers, nearly all there are, cannot be too large.
  if (number.exponent == 0 && number.whole.size() <= std::numeric_limits<Float>::max_exponent10) {
    return true;
  }
  if (text.starts_with('+')) text.remove_prefix(1);
  Float value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc()) return true;
  return point_of(number) - Digits(number).first() <= 0;  // out of range by being too small
}

}  // namespace

std::optional<NumberText> parse_number(std::string_view text) {
  NumberText number;
  std::string_view rest = text;
  const bool plus = rest.starts_with('+');
  number.negative = rest.starts_with('-');
  if (plus || number.negative) rest.remove_prefix(1);
  number.whole = take_digits(rest);
  if (number.whole.empty()) return std::nullopt;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    number.fraction = take_digits(rest);
    if (number.fraction.empty()) return std::nullopt;
  }
  if (rest.starts_with('e') || rest.starts_with('E')) {
    if (!take_exponent(rest, number.exponent)) return std::nullopt;
  }
  if (!rest.empty()) return std::nullopt;
  number.is_json = !plus && (number.whole.size() == 1 || number.whole[0] != '0');
  return number;
}

size_t held_number(std::string_view text) {
  constexpr size_t kMaxDigits = 300;  // 10^308 is near the end
  const char* at = text.data();
  const char* const end = at + text.size();
  if (at != end && *at == '-') ++at;
  const char* const whole = at;
  while (at != end && is_digit(*at)) ++at;
  const auto digits = static_cast<size_t>(at - whole);
  if (digits == 0 || digits > kMaxDigits || (digits > 1 && *whole == '0')) return 0;
  if (at != end && *at == '.') {
    const char* const fraction = ++at;
    while (at != end && is_digit(*at)) ++at;
    if (at == fraction) return 0;
  }
  if (at == end || (*at | 0x20) != 'e') return static_cast<size_t>(at - text.data());
  if (++at != end && (*at == '-' || *at == '+')) ++at;
  const char* const exponent = at;
  size_t power = 0;
  while (at != end && is_digit(*at) && power <= kMaxDigits)
    power = power * 10 + static_cast<size_t>(*at++ - '0');
  // A large power makes it very small as well, but that is rare enough to be looked at.
  if (at == exponent || digits + power > kMaxDigits) return 0;
  return static_cast<size_t>(at - text.data());
}

std::optional<ScaledInteger> scaled_integer(const NumberText& number, int shift) {
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  const Digits digits(number);
  const int64_t first = digits.first();
  if (first == digits.size()) return ScaledInteger{0, true};
  const int64_t point = point_of(number) + shift;
  uint64_t magnitude = 0;
  for (int64_t i = first; i < point; ++i) {
    const auto digit = static_cast<uint64_t>(digits[i] - '0');
    if (magnitude > (kLimit - digit) / 10) return std::nullopt;
    magnitude = magnitude * 10 + digit;
  }
  const bool exact = digits.last() < point;
  if (number.negative && !exact) ++magnitude;
  if (magnitude > kLimit - (number.negative ? 0 : 1)) return std::nullopt;
  const auto value = static_cast<int64_t>(number.negative ? uint64_t{0} - magnitude : magnitude);
  return ScaledInteger{value, exact};
}

bool fits_double(std::string_view text, const NumberText& number) {
  return fits<double>(text, number);
}

bool fits_float(std::string_view text, const NumberText& number) {
  return fits<float>(text, number);
}

void append_json_number(std::string_view text, const NumberText& number, std::string& out) {
  if (number.is_json) {
    out.append(text);
    return;
  }
  if (number.negative) out += '-';
  const size_t zeros = std::min(number.whole.find_first_not_of('0'), number.whole.size() - 1);
  const auto from_whole = static_cast<size_t>(number.whole.data() - text.data());
  out.append(text.substr(from_whole + zeros));
}

bool append_decimal(const NumberText& number, int precision, int scale, std::string& out) {
  const Digits digits(number);
  const int64_t first = digits.first();
  if (first == digits.size()) {
    out += '0';
    return true;
  }
  const int64_t point = point_of(number);
  const int64_t last = digits.last();
  if (last + 1 - point > scale || point - first > precision - scale) return false;
  if (number.negative) out += '-';
  if (first >= point) out += '0';
  for (int64_t i = first; i < point; ++i) out += digits[i];
  if (last >= point) out += '.';
  for (int64_t i = point; i <= last; ++i) out += digits[i];
  return true;
}

}  // namespace penstock::codec
