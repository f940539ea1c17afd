// One value into one column: what it is, what the column wants, JSON text out.
//
// Pure. Nothing is ever rounded, clipped or guessed, with two declared exceptions: time finer than
// a microsecond is cut off, and so is the time of day where a date is asked for.
#pragma once

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

// Appends `value` as the column stores it. Missing and null give null. kRejected, `what` reading
// "is 'x', expected ...", when the value does not fit; `out` then ends in an unspecified part of
// it.
Result<void> append_cast(const Value& value, const CastSpec& cast, TimeUnit unit, std::string& out);

}  // namespace penstock::codec
