// Points in time written as ISO 8601 / RFC 3339 text. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::codec {

// Years 1 to 9999, what the tables' timestamp and date types hold and what usually shows a wrong
// unit.
inline constexpr int64_t kMinTimestampUs = -62'135'596'800'000'000;
inline constexpr int64_t kMaxTimestampUs = 253'402'300'799'999'999;
inline constexpr int64_t kUsPerDay = 86'400'000'000;

// "2024-05-01T12:30:00.25+02:00" -> microseconds since 1970-01-01 UTC. The offset (Z, +hh, +hhmm,
// +hh:mm) is required: without one the instant is unknown. Seconds and fraction may be left out, a
// space may stand for the T; digits beyond microseconds are cut off. A leap second counts as the
// second after it.
std::optional<int64_t> parse_iso_timestamp(std::string_view text);

// "2024-05-01" -> days since 1970-01-01.
std::optional<int64_t> parse_iso_date(std::string_view text);

}  // namespace penstock::codec
