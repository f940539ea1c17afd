// JSON text, written (RFC 8259). Pure.
#pragma once

#include <string>
#include <string_view>

namespace penstock::codec {

// True when `text` is well-formed UTF-8.
bool is_utf8(std::string_view text);

// Appends `text`, which must be UTF-8, as a JSON string with its quotes.
void append_json_string(std::string_view text, std::string& out);

// `text` without white space (space, tab, carriage return, newline) at either end.
std::string_view trimmed(std::string_view text);

}  // namespace penstock::codec
