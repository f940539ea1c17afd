// Rules for single values that JSON and protobuf rows share, and the text forms rows are stored in.
// Pure.
//
// Each check returns the reason for a refusal, or nothing when the value fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <simdjson.h>

#include "tests/zerobus_local/types.h"

namespace penstock::local {

// Range of the integer kinds, DATE (32 bits) and timestamps (64 bits).
std::optional<std::string> check_integer(int64_t value, const Type& type);

// STRING and VARCHAR (UTF-8, length in characters), DECIMAL (digits that fit precision and scale),
// VARIANT (valid JSON text). `scratch` is used for VARIANT only and must not be the parser that
// owns `text`.
std::optional<std::string> check_text(std::string_view text, const Type& type,
                                      simdjson::dom::parser& scratch);

// Standard and URL-safe alphabets, padding optional, as protobuf's JSON mapping allows. False on
// anything else.
bool decode_base64(std::string_view text, std::string& out);
void append_base64(std::string_view bytes, std::string& out);

// `text` as a JSON string with quotes; control characters are escaped, UTF-8 is passed on.
void append_json_string(std::string_view text, std::string& out);

// Shortest text that reads back as the same number; NaN and infinities as JSON strings.
void append_json_number(double value, std::string& out);
void append_json_number(float value, std::string& out);

// The start of `text`, in quotes, for an error message.
std::string quoted_sample(std::string_view text);

}  // namespace penstock::local
