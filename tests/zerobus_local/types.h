// Column types of a Delta table as users write them: "BIGINT", "decimal(10,2)",
// "ARRAY<STRUCT<a:INT>>".
//
// Pure values. Names and rules are those of the service's documented Delta -> protobuf mapping;
// what that mapping does not list (INTERVAL, GEOMETRY, CHAR, arrays of arrays, ...) is refused
// here, with the reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

namespace penstock::local {

enum class Kind : uint8_t {
  kTinyint,
  kSmallint,
  kInt,
  kBigint,
  kFloat,
  kDouble,
  kString,
  kVarchar,
  kBoolean,
  kBinary,
  kDate,          // days since 1970-01-01
  kTimestamp,     // microseconds since epoch UTC
  kTimestampNtz,  // microseconds, wall clock
  kDecimal,
  kVariant,
  kArray,
  kMap,
  kStruct,
};

struct Type {
  Kind kind = Kind::kString;
  int precision = 0;  // DECIMAL(precision,scale); VARCHAR(precision)
  int scale = 0;
  std::vector<Type> args;          // ARRAY: element; MAP: key, value; STRUCT: one per field
  std::vector<std::string> names;  // STRUCT: field names, same order as args

  bool nested() const {
    return kind == Kind::kArray || kind == Kind::kMap || kind == Kind::kStruct;
  }
};

// Case-insensitive; blanks between the parts are allowed. kRejected says what is wrong with the
// text.
Result<Type> parse_type(std::string_view text);

// Canonical text: "DECIMAL(10,2)", "MAP<STRING,INT>".
std::string to_string(const Type& type);

// Letters, digits and '_', not starting with a digit: what the service allows in names.
bool legal_name(std::string_view name);

}  // namespace penstock::local
