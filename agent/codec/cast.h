// One value into one column: what it is, what the column wants, and what is stored, as a Cell that
// both forms of rows are written from.
//
// Pure. Nothing is ever rounded, clipped or guessed, with two declared exceptions: time finer than
// a microsecond is cut off, and so is the time of day where a date is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/encoder_spec.h"

namespace penstock::codec {

struct Value {
  enum class Kind {
    kMissing,   // the reference leads nowhere
    kNull,      // an explicit null
    kBoolean,   // text: true or false
    kNumber,    // text: a JSON number
    kText,      // text; json: the same as JSON, when it came as JSON
    kJson,      // text: JSON of an object or array
    kDocument,  // text: a whole payload that is JSON
    kBytes,     // text: a whole payload that may be anything
  };
  Kind kind = Kind::kMissing;
  std::string_view text;
  std::string_view json;
};

// What a column stores. Views into the value, or into the scratch buffer given to cast_value.
struct Cell {
  enum class Kind {
    kNull,
    kBoolean,  // integer: 0 or 1
    kInteger,  // integer
    kReal,     // text: a JSON number, digits as received
    kText,     // text: UTF-8; json: the same as JSON, when it came as JSON
    kBinary,   // text: the bytes
    kJson,     // text: JSON of an object or array
  };
  Kind kind = Kind::kNull;
  int64_t integer = 0;
  std::string_view text;
  std::string_view json;
};

// Missing and null give kNull. kRejected, `what` reading "is 'x', expected ...", when the value
// does not fit. `scratch` is overwritten and must outlive the cell.
Result<Cell> cast_value(const Value& value, const CastSpec& cast, TimeUnit unit,
                        std::string& scratch);

// Appends the cell by the service's JSON conventions: timestamps and dates are integers, binary is
// base64.
void append_json(const Cell& cell, std::string& out);

// Both in one. On failure `out` is as before.
Result<void> append_cast(const Value& value, const CastSpec& cast, TimeUnit unit, std::string& out);

}  // namespace penstock::codec
