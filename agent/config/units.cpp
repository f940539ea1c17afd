#include "agent/config/units.h"

#include <array>
#include <charconv>
#include <limits>
#include <span>

namespace penstock::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// Largest first within a family, so that formatting finds the shortest exact form.
constexpr std::array kSizeUnits{
    Unit{"TiB", uint64_t{1} << 40},
    Unit{"GiB", uint64_t{1} << 30},
    Unit{"MiB", uint64_t{1} << 20},
    Unit{"KiB", uint64_t{1} << 10},
    Unit{"TB", 1'000'000'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"MB", 1'000'000},
    Unit{"kB", 1'000},
    Unit{"B", 1},
};
constexpr std::array kDurationUnits{
    Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000}, Unit{"s", 1'000}, Unit{"ms", 1},
};
constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();

Error refused(std::string_view what) { return {ErrorKind::kRejected, std::string(what), {}}; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view leading_digits(std::string_view text) {
  size_t count = 0;
  while (count < text.size() && is_digit(text[count])) ++count;
  return text.substr(0, count);
}

Result<uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units) {
  const std::string_view digits = leading_digits(text);
  if (digits.empty()) return refused("does not start with a whole number");
  uint64_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (parsed.ec != std::errc()) return refused("is too large");
  const std::string_view suffix = text.substr(digits.size());
  if (suffix.empty()) return refused("has no unit");
  if (suffix.front() == '.') return refused("is not a whole number of a unit");
  if (suffix.front() == ' ') return refused("has a space before its unit");
  for (const auto& unit : units) {
    if (suffix != unit.name) continue;
    if (number > kMax / unit.factor) return refused("is too large");
    return number * unit.factor;
  }
  return refused("has an unknown unit");
}

std::string format(uint64_t value, std::span<const Unit> units) {
  for (const auto& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      return std::to_string(value / unit.factor) + std::string(unit.name);
    }
  }
  return std::to_string(value) + std::string(units.back().name);
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) { return parse_with_unit(text, kSizeUnits); }

Result<Millis> parse_duration(std::string_view text) {
  auto millis = parse_with_unit(text, kDurationUnits);
  if (!millis) return std::move(millis).error();
  return Millis(static_cast<int64_t>(*millis));
}

Result<double> parse_percent(std::string_view text) {
  const std::string_view whole = leading_digits(text);
  if (whole.empty()) return refused("does not start with a number");
  std::string_view rest = text.substr(whole.size());
  std::string_view decimals;
  if (rest.starts_with('.')) {
    decimals = leading_digits(rest.substr(1));
    if (decimals.empty() || decimals.size() > 2) return refused("has not one or two decimals");
    rest.remove_prefix(1 + decimals.size());
  }
  if (rest.empty()) return refused("has no unit");
  if (rest != "%") return refused("has an unknown unit");
  if (whole.size() > 3) return refused("is more than 100 %");
  unsigned hundredths = 0;
  for (const char c : whole) hundredths = hundredths * 10 + static_cast<unsigned>(c - '0');
  for (size_t i = 0; i < 2; ++i) {
    const char digit = i < decimals.size() ? decimals[i] : '0';
    hundredths = hundredths * 10 + static_cast<unsigned>(digit - '0');
  }
  if (hundredths > 100 * 100) return refused("is more than 100 %");
  return hundredths / 100.0;
}

Result<int64_t> parse_integer(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec == std::errc::result_out_of_range) return refused("is too large");
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || text.empty()) {
    return refused("is not a whole number");
  }
  return value;
}

std::string format_size(uint64_t bytes) { return format(bytes, kSizeUnits); }

std::string format_duration(Millis duration) {
  return format(static_cast<uint64_t>(duration.count()), kDurationUnits);
}

}  // namespace penstock::config
