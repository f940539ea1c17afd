// Numbers with units, as people write them in the configuration: `64KiB`, `15m`, `40%`.
//
// Pure. Whole numbers only, the unit follows at once, a bare number is refused. Errors are
// kRejected and say what is wrong without repeating the text, which may come from a secret: "has no
// unit".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/result.h"

namespace penstock::config {

constexpr std::string_view kSizeHint =
    "a size is a whole number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, like 64KiB";
constexpr std::string_view kDurationHint =
    "a duration is a whole number with ms, s, m, h or d, like 500ms";
constexpr std::string_view kPercentHint = "a share is a number with %, like 40%";

// Bytes; at most what fits int64_t, because options of plugins are int64_t.
Result<uint64_t> parse_size(std::string_view text);
Result<Millis> parse_duration(std::string_view text);
// 0 to 100, at most two decimals.
Result<double> parse_percent(std::string_view text);
// Decimal, with an optional sign.
Result<int64_t> parse_integer(std::string_view text);

// The shortest exact form: 65536 -> "64KiB", 90'000 ms -> "90s".
std::string format_size(uint64_t bytes);
std::string format_duration(Millis duration);

}  // namespace penstock::config
