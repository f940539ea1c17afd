// Bytes as text: base64 (RFC 4648 section 4) and hexadecimal. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace penstock::codec {

// Standard alphabet, padded.
void append_base64(std::string_view bytes, std::string& out);

// Standard alphabet; padding may be missing. nullopt on any other character, a wrong length or
// stray bits at the end.
std::optional<std::string> decode_base64(std::string_view text);

// Pairs of digits in either case, nothing between them.
std::optional<std::string> decode_hex(std::string_view text);

}  // namespace penstock::codec
