#include "agent/zerobus/grpc_words.h"

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <spdlog/fmt/fmt.h>

namespace penstock::zerobus {
namespace {

// `#` stands for a number; the size is named first, but where it says otherwise.
struct Phrase {
  std::string_view words;
  bool limit_first = false;
};
constexpr Phrase kTooLarge[] = {
    {"message larger than max (# vs. #)"},                      // C++ and the languages on it, Go
    {"message after decompression larger than max (# vs. #)"},  // Go
    {"message larger than max (# vs #)"},                       // JavaScript
    {"message exceeds maximum size #: #", true},                // Java
    {"message length too large: found # bytes, the limit is: # bytes"},  // Rust (tonic)
};
// .NET gives no numbers, but says nothing else.
constexpr std::string_view kTooLargeForDotNet =
    "Received message exceeds the maximum configured message size.";
// tonic's code for it.
constexpr std::string_view kOfTonic = "message length too large: found ";

struct Sizes {
  uint64_t size = 0;
  uint64_t limit = 0;
};

// `text` begins with `words`: the two numbers.
std::optional<Sizes> read(std::string_view text, std::string_view words) {
  uint64_t numbers[2] = {};
  size_t found = 0;
  for (const char c : words) {
    if (c == '#') {
      const auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), numbers[found++]);
      if (error != std::errc()) return std::nullopt;
      text.remove_prefix(static_cast<size_t>(end - text.data()));
    } else if (!text.empty() && text.front() == c) {
      text.remove_prefix(1);
    } else {
      return std::nullopt;
    }
  }
  return Sizes{numbers[0], numbers[1]};
}

std::optional<Sizes> sizes_in(std::string_view text) {
  for (const Phrase& phrase : kTooLarge) {
    const auto beginning = phrase.words.substr(0, phrase.words.find('#'));
    for (auto at = text.find(beginning); at != text.npos; at = text.find(beginning, at + 1)) {
      auto sizes = read(text.substr(at), phrase.words);
      if (!sizes) continue;
      if (phrase.limit_first) std::swap(sizes->size, sizes->limit);
      return sizes;
    }
  }
  return std::nullopt;
}

// The same words whichever side a message was too large for: ours is known by its limit.
std::optional<Status> message_too_large(int status, const std::string& text,
                                        const SentSizes& sent) {
  const std::string what = "a message is too large for the receiver: " + text;
  const auto sizes = sizes_in(text);
  if (sizes && sizes->limit == uint64_t{kMaxResponseBytes} && sizes->size != sent.largest_message)
    return Status{code::kInternal, what};
  const bool theirs = sizes ? sizes->limit < sent.largest_message
                            : text == kTooLargeForDotNet && sent.largest_message > 0;
  if (theirs) return Status{status, what, false, true};
  return std::nullopt;
}

Status header_too_large(const std::string& text, const SentSizes& sent) {
  constexpr std::string_view kTheirs =
      "the server's status text (or another header) is too large to be read, more than 1 MiB, "
      "and its code went with it";
  if (sent.answered) return {code::kUnknown, fmt::format("{}: {}", kTheirs, text), true};
  return {code::kUnknown,
          fmt::format("a header is too large. Either the request's, of which the access token is "
                      "{} bytes, for the server or something in front of it; or {}: {}",
                      sent.token, kTheirs, text),
          true};
}

}  // namespace

Status as_meant(int status, const std::string& text, const SentSizes& sent) {
  const bool tonic = status == code::kOutOfRange && text.find(kOfTonic) != text.npos;
  if (status != code::kResourceExhausted && !tonic) return {status, text};
  if (auto meant = message_too_large(status, text, sent)) return *std::move(meant);
  if (!tonic && text.find("metadata size exceeds") != text.npos)
    return header_too_large(text, sent);
  return {status, text};
}

}  // namespace penstock::zerobus
