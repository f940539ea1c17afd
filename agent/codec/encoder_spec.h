// What a route's rows are made of: payload format, columns, casts. Values, and the words of the
// configuration.
//
// The parse functions return kRejected listing the words allowed. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/expression.h"
#include "agent/base/result.h"

namespace penstock::codec {

enum class PayloadFormat { kJson, kRaw };

// What a column's value is turned into; the form in the row follows the service's JSON conventions.
enum class Cast {
  kNone,       // as it is: JSON keeps its type, everything else is a string
  kString,     // text; of numbers, booleans, objects and arrays their JSON text
  kBoolean,    // true or false, also as text; nothing else
  kInt,        // whole number in 32 bits; 3.0 and 3e0 are whole, 3.5 is refused
  kBigint,     // the same in 64 bits
  kFloat,      // number, digits kept as received, magnitude checked
  kDouble,     // the same
  kDecimal,    // string; refused rather than rounded when it does not fit (precision, scale)
  kTimestamp,  // integer microseconds since 1970-01-01 UTC, years 1 to 9999
  kDate,       // integer days since 1970-01-01, years 1 to 9999
  kBinary,     // base64 string
  kVariant,    // string holding the JSON text of the value
  // Only from the type of a table's column, never from the configuration:
  kTinyint,       // whole number in 8 bits
  kSmallint,      // whole number in 16 bits
  kTimestampNtz,  // integer microseconds on a wall clock; text is ISO 8601 without an offset
  kNested,        // object or array, for STRUCT, MAP and ARRAY
};

// How a binary column reads text. kAuto: `${payload}` gives its bytes, any other text is base64.
enum class BinaryText { kAuto, kBase64, kHex };

struct CastSpec {
  Cast cast = Cast::kNone;
  int precision = 10;  // decimal only: total digits, 1 to 38
  int scale = 0;       // decimal only: digits after the point, 0 to precision
  BinaryText text = BinaryText::kAuto;
  int max_chars = 0;  // string only: more characters are refused; 0: any number
};

// What a timestamp or date is counted in. kAuto: timestamp numbers are microseconds, date numbers
// are days, and text is ISO 8601. Any other unit but kIso: numbers (also as text) since 1970-01-01
// UTC. kIso: text only.
enum class TimeUnit { kAuto, kSeconds, kMillis, kMicros, kNanos, kIso };

// When a value cannot be cast: refuse the record, or store NULL and count it.
enum class OnError { kReject, kNull };

// What happens to payload fields that the table does not have. Only a table schema can tell; see
// EncoderSpec.
enum class UnknownFields { kReject, kIgnore, kRescue };

Result<PayloadFormat> parse_payload_format(std::string_view text);  // json | raw
// string | boolean | int | bigint | float | double | decimal(p,s) | timestamp | date | binary |
// binary(base64) | binary(hex) | variant | auto (or empty: kNone). `decimal` alone is
// decimal(10,0), `decimal(p)` is decimal(p,0).
Result<CastSpec> parse_cast(std::string_view text);
Result<TimeUnit> parse_time_unit(
    std::string_view text);                             // auto (or empty) | s | ms | us | ns | iso
Result<OnError> parse_on_error(std::string_view text);  // reject | null
Result<UnknownFields> parse_unknown_fields(std::string_view text);  // reject | ignore | rescue

struct ColumnSpec {
  std::string name;  // [A-Za-z0-9_]+
  Expression from;
  CastSpec cast;
  TimeUnit unit = TimeUnit::kAuto;
  OnError on_error = OnError::kReject;
  // JSON text of the value used when `from` leads nowhere; it passes through the same cast. A JSON
  // null in the payload is a value, not a missing one, and stays NULL.
  std::optional<std::string> default_json;
  bool nullable = true;  // false: a record that would store NULL is refused
};

struct EncoderSpec {
  PayloadFormat format = PayloadFormat::kJson;
  std::vector<ColumnSpec>
      columns;  // empty = auto: the payload object's fields, by name (format json only)
  std::map<std::string, std::string> labels;
  std::string agent_id;
  std::map<std::string, size_t> topic_levels;  // named levels of the route's topic pattern -> index
  // For fields matched by name against a table's schema, and for fields of a STRUCT. Where columns
  // say what is taken from the payload, the rest of it is not an error whatever this says.
  UnknownFields unknown_fields = UnknownFields::kReject;
};

}  // namespace penstock::codec
