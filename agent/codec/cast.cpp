#include "agent/codec/cast.h"

#include <limits>
#include <optional>

#include "agent/base/text.h"
#include "agent/codec/binary_text.h"
#include "agent/codec/json_text.h"
#include "agent/codec/number_text.h"
#include "agent/codec/time_text.h"

namespace penstock::codec {
namespace {

using Kind = Value::Kind;

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

void append_integer(int64_t value, std::string& out) { out += std::to_string(value); }

Result<void> append_text(const Value& value, std::string& out) {
  if (!value.json.empty()) {
    out.append(value.json);
    return {};
  }
  if (!is_utf8(value.text)) {
    return refused(value, "UTF-8 text; use `as: binary` for data that is not text");
  }
  append_json_string(value.text, out);
  return {};
}

Result<void> append_number_as_is(const Value& value, std::string& out) {
  const auto number = parse_number(value.text);
  if (!number || !fits_double(value.text, *number)) {
    return refused(value, "a number within the range of a double; use `as: string` to keep it");
  }
  out.append(value.text);
  return {};
}

Result<void> append_as_is(const Value& value, std::string& out) {
  if (value.kind == Kind::kNumber) return append_number_as_is(value, out);
  if (is_text(value)) return append_text(value, out);
  out.append(value.text);
  return {};
}

Result<void> append_boolean(const Value& value, std::string& out) {
  const std::string_view text = is_text(value) ? trimmed(value.text) : value.text;
  if (text != "true" && text != "false") return refused(value, "true or false");
  out.append(text);
  return {};
}

Result<void> append_whole(const Value& value, int64_t min, int64_t max, std::string_view expected,
                          std::string& out) {
  const auto number = number_of(value);
  const auto whole = number ? scaled_integer(number->number, 0) : std::nullopt;
  if (!whole || !whole->exact || whole->value < min || whole->value > max) {
    return refused(value, expected);
  }
  append_integer(whole->value, out);
  return {};
}

Result<void> append_real(const Value& value, Cast cast, std::string& out) {
  const auto number = number_of(value);
  if (!number) return refused(value, "a number");
  const bool fits = cast == Cast::kFloat ? fits_float(number->text, number->number)
                                         : fits_double(number->text, number->number);
  if (!fits) {
    return refused(value, cast == Cast::kFloat ? "a number within the range of a float"
                                               : "a number within the range of a double");
  }
  append_json_number(number->text, number->number, out);
  return {};
}

Result<void> append_decimal_string(const Value& value, const CastSpec& cast, std::string& out) {
  const auto number = number_of(value);
  out += '"';
  if (!number || !append_decimal(number->number, cast.precision, cast.scale, out)) {
    return refused(value, "a number with at most " + std::to_string(cast.precision - cast.scale) +
                              " digits before and " + std::to_string(cast.scale) +
                              " after the point (no rounding is done)");
  }
  out += '"';
  return {};
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

Result<void> append_timestamp(const Value& value, TimeUnit unit, std::string& out) {
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
  append_integer(*micros, out);
  return {};
}

int64_t day_of(int64_t micros) { return (micros - (micros < 0 ? kUsPerDay - 1 : 0)) / kUsPerDay; }

Result<void> append_date(const Value& value, TimeUnit unit, std::string& out) {
  const bool counted = unit != TimeUnit::kAuto && unit != TimeUnit::kIso;
  if (counted) {
    const auto micros = counted_instant(value, unit);
    if (!micros) return refused_count(value, unit);
    append_integer(day_of(*micros), out);
    return {};
  }
  if (unit == TimeUnit::kAuto && value.kind == Kind::kNumber) {
    return append_whole(value, day_of(kMinTimestampUs), day_of(kMaxTimestampUs),
                        "a whole number of days since 1970-01-01; for seconds and finer set `unit`",
                        out);
  }
  const std::string_view text = is_text(value) ? trimmed(value.text) : std::string_view();
  auto days = parse_iso_date(text);
  if (const auto micros = days ? std::nullopt : parse_iso_timestamp(text)) days = day_of(*micros);
  if (!days) return refused(value, "a date such as 2024-05-01");
  append_integer(*days, out);
  return {};
}

Result<void> append_binary(const Value& value, BinaryText form, std::string& out) {
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
  out += '"';
  append_base64(decoded ? *decoded : value.text, out);
  out += '"';
  return {};
}

Result<void> append_variant(const Value& value, std::string& out) {
  const bool plain_text = value.kind == Kind::kText || value.kind == Kind::kBytes;
  if (!plain_text) {
    append_json_string(value.text, out);
    return {};
  }
  std::string json;
  if (auto appended = append_text(value, json); !appended) return appended;
  append_json_string(json, out);
  return {};
}

}  // namespace

Result<void> append_cast(const Value& value, const CastSpec& cast, TimeUnit unit,
                         std::string& out) {
  if (value.kind == Kind::kMissing || value.kind == Kind::kNull) {
    out += "null";
    return {};
  }
  switch (cast.cast) {
    case Cast::kNone:
      return append_as_is(value, out);
    case Cast::kString:
      return append_text(value, out);
    case Cast::kBoolean:
      return append_boolean(value, out);
    case Cast::kInt:
      return append_whole(value, std::numeric_limits<int32_t>::min(),
                          std::numeric_limits<int32_t>::max(), "a whole number in 32 bits", out);
    case Cast::kBigint:
      return append_whole(value, std::numeric_limits<int64_t>::min(),
                          std::numeric_limits<int64_t>::max(), "a whole number in 64 bits", out);
    case Cast::kFloat:
    case Cast::kDouble:
      return append_real(value, cast.cast, out);
    case Cast::kDecimal:
      return append_decimal_string(value, cast, out);
    case Cast::kTimestamp:
      return append_timestamp(value, unit, out);
    case Cast::kDate:
      return append_date(value, unit, out);
    case Cast::kBinary:
      return append_binary(value, cast.text, out);
    case Cast::kVariant:
      return append_variant(value, out);
  }
  return refused(value, "a known cast");
}

}  // namespace penstock::codec
