#include "agent/codec/cast.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "agent/base/text.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/json_text.h"
#include "agent/codec/number_text.h"
#include "agent/codec/time_text.h"

namespace penstock::codec {
namespace {

using Kind = Value::Kind;
using Kinds = Cell::Kind;

std::string described(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
      return "is missing";
    case Kind::kNull:
      return "is null";
    case Kind::kBoolean:
    case Kind::kNumber:
      return "is " + shown(value.text);
    case Kind::kJson:
      return "is " + shown(value.text, 40);
    case Kind::kText:
    case Kind::kDocument:
    case Kind::kBytes:
      break;
  }
  return "is '" + shown(value.text) + "'";
}

Error refused(const Value& value, std::string_view expected) {
  return {ErrorKind::kRejected, described(value) + ", expected " + std::string(expected), {}};
}

bool is_text(const Value& value) {
  return value.kind == Kind::kText || value.kind == Kind::kDocument || value.kind == Kind::kBytes;
}

// The value as a number, also when it is text; `text` is then what to read its digits from.
struct Number {
  NumberText number;
  std::string_view text;
};
std::optional<Number> number_of(const Value& value) {
  if (value.kind != Kind::kNumber && !is_text(value)) return std::nullopt;
  const std::string_view text = is_text(value) ? trimmed(value.text) : value.text;
  const auto number = parse_number(text);
  if (!number) return std::nullopt;
  return Number{*number, text};
}

Cell integer_cell(int64_t value) { return {Kinds::kInteger, value, {}, {}}; }
Cell text_cell(std::string_view text) { return {Kinds::kText, 0, text, {}}; }

size_t characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

Result<Cell> cast_text(const Value& value, int max_chars) {
  if (value.json.empty() && !is_utf8(value.text)) {
    return refused(value, "UTF-8 text; use `as: binary` for data that is not text");
  }
  if (max_chars > 0 && characters(value.text) > static_cast<size_t>(max_chars)) {
    return refused(value, "at most " + std::to_string(max_chars) + " characters");
  }
  return Cell{Kinds::kText, 0, value.text, value.json};
}

Result<Cell> cast_boolean(const Value& value) {
  const std::string_view text = is_text(value) ? trimmed(value.text) : value.text;
  if (text != "true" && text != "false") return refused(value, "true or false");
  return Cell{Kinds::kBoolean, text == "true", {}, {}};
}

Result<Cell> cast_as_is(const Value& value) {
  if (is_text(value)) return cast_text(value, 0);
  if (value.kind == Kind::kBoolean) return cast_boolean(value);
  if (value.kind == Kind::kJson) return Cell{Kinds::kJson, 0, value.text, {}};
  const auto number = parse_number(value.text);
  if (!number || !fits_double(value.text, *number)) {
    return refused(value, "a number within the range of a double; use `as: string` to keep it");
  }
  return Cell{Kinds::kReal, 0, value.text, {}};
}

Result<Cell> cast_whole(const Value& value, int64_t min, int64_t max, std::string_view expected) {
  const auto number = number_of(value);
  const auto whole = number ? scaled_integer(number->number, 0) : std::nullopt;
  if (!whole || !whole->exact || whole->value < min || whole->value > max) {
    return refused(value, expected);
  }
  return integer_cell(whole->value);
}

template <class T>
Result<Cell> cast_whole(const Value& value, std::string_view expected) {
  return cast_whole(value, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(), expected);
}

Result<Cell> cast_real(const Value& value, Cast cast, std::string& scratch) {
  const auto number = number_of(value);
  if (!number) return refused(value, "a number");
  const bool fits = cast == Cast::kFloat ? fits_float(number->text, number->number)
                                         : fits_double(number->text, number->number);
  if (!fits) {
    return refused(value, cast == Cast::kFloat ? "a number within the range of a float"
                                               : "a number within the range of a double");
  }
  if (number->number.is_json) return Cell{Kinds::kReal, 0, number->text, {}};
  scratch.clear();
  append_json_number(number->text, number->number, scratch);
  return Cell{Kinds::kReal, 0, scratch, {}};
}

Result<Cell> cast_decimal(const Value& value, const CastSpec& cast, std::string& scratch) {
  const auto number = number_of(value);
  scratch.clear();
  if (!number || !append_decimal(number->number, cast.precision, cast.scale, scratch)) {
    return refused(value, "a number with at most " + std::to_string(cast.precision - cast.scale) +
                              " digits before and " + std::to_string(cast.scale) +
                              " after the point (no rounding is done)");
  }
  return text_cell(scratch);
}

// Power of ten that turns the unit into microseconds.
int shift_of(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSeconds:
      return 6;
    case TimeUnit::kMillis:
      return 3;
    case TimeUnit::kNanos:
      return -3;
    default:
      return 0;
  }
}

std::string_view unit_name(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSeconds:
      return "seconds";
    case TimeUnit::kMillis:
      return "milliseconds";
    case TimeUnit::kNanos:
      return "nanoseconds";
    default:
      return "microseconds";
  }
}

std::optional<int64_t> counted_instant(const Value& value, TimeUnit unit) {
  const auto number = number_of(value);
  const auto micros = number ? scaled_integer(number->number, shift_of(unit)) : std::nullopt;
  if (!micros || micros->value < kMinTimestampUs || micros->value > kMaxTimestampUs) {
    return std::nullopt;
  }
  return micros->value;
}

Error refused_count(const Value& value, TimeUnit unit) {
  return refused(value, "a number of " + std::string(unit_name(unit)) +
                            " since 1970-01-01 UTC within the years 1 to 9999 (is `unit` right?)");
}

Result<Cell> cast_timestamp(const Value& value, TimeUnit unit) {
  const bool iso = unit == TimeUnit::kIso || (unit == TimeUnit::kAuto && is_text(value));
  const auto micros = !iso             ? counted_instant(value, unit)
                      : is_text(value) ? parse_iso_timestamp(trimmed(value.text))
                                       : std::nullopt;
  if (!micros && iso) {
    return refused(value,
                   "a time such as 2024-05-01T12:30:00Z, with Z or an offset; for numbers set "
                   "`unit` to s, ms, us or ns");
  }
  if (!micros) return refused_count(value, unit);
  return integer_cell(*micros);
}

// A wall clock has no offset; text that gives one is meant for another type.
Result<Cell> cast_wall_clock(const Value& value) {
  if (!is_text(value)) return cast_timestamp(value, TimeUnit::kAuto);
  const auto micros = parse_iso_timestamp(std::string(trimmed(value.text)) + "Z");
  if (!micros) {
    return refused(value, "a time such as 2024-05-01T12:30:00, without Z or an offset");
  }
  return integer_cell(*micros);
}

int64_t day_of(int64_t micros) { return (micros - (micros < 0 ? kUsPerDay - 1 : 0)) / kUsPerDay; }

Result<Cell> cast_date(const Value& value, TimeUnit unit) {
  const bool counted = unit != TimeUnit::kAuto && unit != TimeUnit::kIso;
  if (counted) {
    const auto micros = counted_instant(value, unit);
    if (!micros) return refused_count(value, unit);
    return integer_cell(day_of(*micros));
  }
  if (unit == TimeUnit::kAuto && value.kind == Kind::kNumber) {
    return cast_whole(value, day_of(kMinTimestampUs), day_of(kMaxTimestampUs),
                      "a whole number of days since 1970-01-01; for seconds and finer set `unit`");
  }
  const std::string_view text = is_text(value) ? trimmed(value.text) : std::string_view();
  auto days = parse_iso_date(text);
  if (const auto micros = days ? std::nullopt : parse_iso_timestamp(text)) days = day_of(*micros);
  if (!days) return refused(value, "a date such as 2024-05-01");
  return integer_cell(*days);
}

Result<Cell> cast_binary(const Value& value, BinaryText form, std::string& scratch) {
  if (!is_text(value)) return refused(value, "text or the whole payload");
  const bool whole_payload = value.kind != Kind::kText;
  std::optional<std::string> decoded;
  if (form == BinaryText::kHex) {
    decoded = decode_hex(trimmed(value.text));
    if (!decoded) return refused(value, "pairs of hexadecimal digits");
  } else if (form == BinaryText::kBase64 || !whole_payload) {
    decoded = decode_base64(trimmed(value.text));
    if (!decoded) return refused(value, "base64; for hexadecimal write `as: binary(hex)`");
  }
  if (!decoded) return Cell{Kinds::kBinary, 0, value.text, {}};
  scratch = *std::move(decoded);
  return Cell{Kinds::kBinary, 0, scratch, {}};
}

// Reads JSON as the table does, whose numbers are doubles where they are large.
Result<Cell> cast_variant(const Value& value, std::string& scratch) {
  const bool plain_text = value.kind == Kind::kText || value.kind == Kind::kBytes;
  if (!plain_text) {
    const auto number = number_of(value);
    const bool fits = !number || fits_double(number->text, number->number);
    if (!fits) return refused(value, "a number within the range of a double");
    return text_cell(value.text);
  }
  if (!value.json.empty()) return text_cell(value.json);
  auto text = cast_text(value, 0);
  if (!text) return text;
  scratch.clear();
  append_json_string(value.text, scratch);
  return text_cell(scratch);
}

}  // namespace

Result<Cell> cast_value(const Value& value, const CastSpec& cast, TimeUnit unit,
                        std::string& scratch) {
  if (value.kind == Kind::kMissing || value.kind == Kind::kNull) return Cell{};
  switch (cast.cast) {
    case Cast::kNone:
      return cast_as_is(value);
    case Cast::kString:
      return cast_text(value, cast.max_chars);
    case Cast::kBoolean:
      return cast_boolean(value);
    case Cast::kTinyint:
      return cast_whole<int8_t>(value, "a whole number in 8 bits");
    case Cast::kSmallint:
      return cast_whole<int16_t>(value, "a whole number in 16 bits");
    case Cast::kInt:
      return cast_whole<int32_t>(value, "a whole number in 32 bits");
    case Cast::kBigint:
      return cast_whole<int64_t>(value, "a whole number in 64 bits");
    case Cast::kFloat:
    case Cast::kDouble:
      return cast_real(value, cast.cast, scratch);
    case Cast::kDecimal:
      return cast_decimal(value, cast, scratch);
    case Cast::kTimestamp:
      return cast_timestamp(value, unit);
    case Cast::kTimestampNtz:
      return cast_wall_clock(value);
    case Cast::kDate:
      return cast_date(value, unit);
    case Cast::kBinary:
      return cast_binary(value, cast.text, scratch);
    case Cast::kVariant:
      return cast_variant(value, scratch);
    case Cast::kNested:
      if (value.kind == Kind::kJson) return Cell{Kinds::kJson, 0, value.text, {}};
      return refused(value, "an object or array");
  }
  return refused(value, "a known cast");
}

void append_json(const Cell& cell, std::string& out) {
  switch (cell.kind) {
    case Kinds::kNull:
      out += "null";
      return;
    case Kinds::kBoolean:
      out += cell.integer ? "true" : "false";
      return;
    case Kinds::kInteger: {
      std::array<char, 24> digits{};
      const auto end = std::to_chars(digits.begin(), digits.end(), cell.integer).ptr;
      out.append(digits.data(), static_cast<size_t>(end - digits.data()));
      return;
    }
    case Kinds::kReal:
    case Kinds::kJson:
      out.append(cell.text);
      return;
    case Kinds::kText:
      if (!cell.json.empty()) {
        out.append(cell.json);
      } else {
        append_json_string(cell.text, out);
      }
      return;
    case Kinds::kBinary:
      out += '"';
      append_base64(cell.text, out);
      out += '"';
  }
}

Result<void> append_cast(const Value& value, const CastSpec& cast, TimeUnit unit,
                         std::string& out) {
  std::string scratch;
  const auto cell = cast_value(value, cast, unit, scratch);
  if (!cell) return cell.error();
  append_json(*cell, out);
  return {};
}

}  // namespace penstock::codec
