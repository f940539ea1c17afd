// Text from outside, made fit for a log line, an error or a reason. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock {

// `text` as one printable line of valid UTF-8: at most `max_bytes` of it, cut between characters
// and then marked by
// `...`; control characters and bytes that are not UTF-8 appear as `\xNN`.
std::string shown(std::string_view text, size_t max_bytes = 64);

// The length in bytes (1 to 4) of the well-formed UTF-8 character at the front of `text` (Unicode
// 15, table 3-7), or 0 when there is none.
size_t utf8_character(std::string_view text);

}  // namespace penstock
