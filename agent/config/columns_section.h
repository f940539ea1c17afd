// Reads the `columns` of a route.
#pragma once

#include <vector>

#include "agent/config/reader.h"
#include "agent/config/topic_filter.h"

namespace penstock::config {

// In the order written; empty when the key is absent. `shape`: of the route's match.topic.
std::vector<Column> read_columns(Reader& route, const TopicShape& shape);

// string, boolean, int, bigint, float, double, decimal(p,s), timestamp, date, variant, binary,
// binary(base64|hex).
bool is_cast(std::string_view text);

// The JSON form of a scalar as YAML 1.2 reads it: `null`, `true`, `1.5` as they are, anything else
// a string.
std::string to_json(std::string_view text, bool is_text);

}  // namespace penstock::config
