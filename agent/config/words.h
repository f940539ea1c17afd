// Small questions about words: is it a name, is it a YAML boolean, which known word was meant.
// Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::config {

// The word of `known` that `word` most likely stands for; empty when none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> known);

// "did you mean `max_delay`?", or "known here: a, b, c" when nothing is near and there are few; may
// be empty.
std::string suggestion(std::string_view word, std::span<const std::string_view> known);

// For an unknown key: of `free` as above, or else the nearest of `taken`, which the same map holds
// already.
std::string key_suggestion(std::string_view key, std::span<const std::string_view> free,
                           std::span<const std::string_view> taken);

// What YAML 1.1 readers take for a boolean: true, False, on, OFF, yes, No, ...
bool is_boolean_word(std::string_view word);

// [A-Za-z0-9_.-]{1,64}: what agents, inputs, destinations and routes may be called.
bool is_name(std::string_view text);
constexpr std::string_view kNameHint = "use 1 to 64 of A-Z a-z 0-9 _ . -";

// [A-Za-z_][A-Za-z0-9_]*: what can follow the dot in ${label.x} and ${topic.x}.
bool is_identifier(std::string_view text);

// In backticks, cut to a length that fits a message, control characters shown as `?`.
std::string quote(std::string_view text);

std::string join(std::span<const std::string_view> words, std::string_view separator);

}  // namespace penstock::config
