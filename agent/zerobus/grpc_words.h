// What gRPC itself says at the end of a stream, told from what the service says: that a message or
// a header was too large. It uses a code of the service's for it, RESOURCE_EXHAUSTED, so the words
// decide; a service's own sentence of the same sense is never taken for them. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "agent/zerobus/status.h"

namespace penstock::zerobus {

// More is not taken from a server in one message.
inline constexpr int kMaxResponseBytes = 1 << 20;

// Of the stream that has ended.
struct SentSizes {
  uint64_t largest_message = 0;  // 0: none was sent
  uint64_t token = 0;            // of the access token in its headers
  bool answered = false;         // the server had said something on it
};

// The status as its sender meant it. `too_large` only where the words are those of a gRPC library
// and the limit they name is below what was sent.
Status as_meant(int status, const std::string& text, const SentSizes& sent);

}  // namespace penstock::zerobus
