// What the demo prints at its end: a table for people and, on request, one line of JSON. Pure text.
#pragma once

#include <string>
#include <vector>

#include "tests/e2e/scenario.h"

namespace penstock::e2e {

bool all_landed(const std::vector<test::TableVerdict>& tables);

// Lines end with a newline.
std::string table_for_people(const std::vector<test::TableVerdict>& tables, const Latency& latency);

// {"tables":[...],"p50_ms":..,"p99_ms":..,"ok":..} without a newline; a latency nobody measured is
// null.
std::string json_line(const std::vector<test::TableVerdict>& tables, const Latency& latency);

}  // namespace penstock::e2e
