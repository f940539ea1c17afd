// Keeping secrets out of texts. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock {

// A token or client secret has dozens of bytes. Shorter ones than this are refused by the
// configuration (but for services on this machine, which take anything) and never searched for: to
// mask a word of one letter would mask that letter everywhere and show what it is.
inline constexpr size_t kShortestSecretBytes = 8;

inline bool repeats_secret(std::string_view text, std::string_view secret) {
  return secret.size() >= kShortestSecretBytes && text.find(secret) != text.npos;
}

// `text` with `mask` wherever `secret` stood.
inline std::string without_secret(std::string text, std::string_view secret,
                                  std::string_view mask) {
  if (secret.size() < kShortestSecretBytes) return text;
  for (size_t at = 0; (at = text.find(secret, at)) != text.npos; at += mask.size())
    text.replace(at, secret.size(), mask);
  return text;
}

}  // namespace penstock
