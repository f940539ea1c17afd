#include "agent/codec/time_text.h"

#include <chrono>

namespace penstock::codec {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes exactly `count` digits off the front of `rest`.
std::optional<int> take_number(std::string_view& rest, size_t count) {
  if (rest.size() < count) return std::nullopt;
  int value = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!is_digit(rest[i])) return std::nullopt;
    value = value * 10 + (rest[i] - '0');
  }
  rest.remove_prefix(count);
  return value;
}

bool take_any_of(std::string_view& rest, std::string_view characters) {
  if (rest.empty() || characters.find(rest[0]) == std::string_view::npos) return false;
  rest.remove_prefix(1);
  return true;
}

std::optional<int64_t> take_date(std::string_view& rest) {
  const auto year = take_number(rest, 4);
  if (!year || *year < 1 || !take_any_of(rest, "-")) return std::nullopt;
  const auto month = take_number(rest, 2);
  if (!month || !take_any_of(rest, "-")) return std::nullopt;
  const auto day = take_number(rest, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

// Microseconds behind a decimal point or comma; nullopt when no digit follows it.
std::optional<int64_t> take_fraction(std::string_view& rest) {
  if (!take_any_of(rest, ".,")) return 0;
  if (rest.empty() || !is_digit(rest[0])) return std::nullopt;
  int64_t micros = 0;
  for (int64_t unit = 100'000; !rest.empty() && is_digit(rest[0]); unit /= 10) {
    micros += unit * (rest[0] - '0');
    rest.remove_prefix(1);
  }
  return micros;
}

// Microseconds since midnight.
std::optional<int64_t> take_time(std::string_view& rest) {
  const auto hour = take_number(rest, 2);
  if (!hour || *hour > 23 || !take_any_of(rest, ":")) return std::nullopt;
  const auto minute = take_number(rest, 2);
  if (!minute || *minute > 59) return std::nullopt;
  int64_t micros = (*hour * 60 + *minute) * int64_t{60'000'000};
  if (!take_any_of(rest, ":")) return micros;
  const auto second = take_number(rest, 2);
  if (!second || *second > 60) return std::nullopt;
  const auto fraction = take_fraction(rest);
  if (!fraction) return std::nullopt;
  return micros + *second * int64_t{1'000'000} + *fraction;
}

// Microseconds that local time is ahead of UTC; takes all of `rest`.
std::optional<int64_t> take_offset(std::string_view& rest) {
  if (rest == "Z" || rest == "z") return 0;
  const bool behind = rest.starts_with('-');
  if (!take_any_of(rest, "+-")) return std::nullopt;
  const auto hours = take_number(rest, 2);
  if (!hours || *hours > 23) return std::nullopt;
  std::optional<int> minutes = 0;
  if (!rest.empty()) {
    take_any_of(rest, ":");
    minutes = take_number(rest, 2);
  }
  if (!minutes || *minutes > 59 || !rest.empty()) return std::nullopt;
  const int64_t ahead = (*hours * 60 + *minutes) * int64_t{60'000'000};
  return behind ? -ahead : ahead;
}

}  // namespace

std::optional<int64_t> parse_iso_timestamp(std::string_view text) {
  const auto days = take_date(text);
  if (!days || !take_any_of(text, "Tt ")) return std::nullopt;
  const auto time = take_time(text);
  if (!time) return std::nullopt;
  const auto offset = take_offset(text);
  if (!offset) return std::nullopt;
  const int64_t micros = *days * kUsPerDay + *time - *offset;
  if (micros < kMinTimestampUs || micros > kMaxTimestampUs) return std::nullopt;
  return micros;
}

std::optional<int64_t> parse_iso_date(std::string_view text) {
  const auto days = take_date(text);
  return text.empty() ? days : std::nullopt;
}

}  // namespace penstock::codec
