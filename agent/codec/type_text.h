// Column types written as SQL text: Unity Catalog's type_text, "struct<a:int,b:array<string>>".
//
// Pure, any thread. Reads untrusted text: length, depth and number of parts are limited.
#pragma once

#include <string_view>

#include "agent/base/result.h"
#include "agent/codec/table_schema.h"

namespace penstock::codec {

inline constexpr size_t kMaxTypeTextBytes = size_t{1} << 20;

// Without regard to case; blanks between the parts, backquoted field names and `NOT NULL` behind a
// field are understood, and Spark's names (long, integer, ...). kRejected with what is wrong and
// about where; the same for what the service does not take.
Result<DataType> parse_type_text(std::string_view text);

}  // namespace penstock::codec
