// JSON with random damage: bytes of the kind JSON is made of changed, put in or taken out.
#pragma once

#include <random>
#include <string>
#include <string_view>

namespace penstock::codec {

inline std::string damaged(std::string payload, uint64_t edits, std::mt19937_64& random) {
  constexpr std::string_view kBytes = "{}[]\",:0123456789eE+-.truefalsnab \\u\n\x01\xc3\xbc";
  for (; edits > 0 && !payload.empty(); --edits) {
    const size_t where = random() % payload.size();
    const char byte = kBytes[random() % kBytes.size()];
    switch (random() % 3) {
      case 0:
        payload[where] = byte;
        break;
      case 1:
        payload.insert(where, random() % 2 + 1, byte);
        break;
      default:
        payload.erase(where, random() % 4 + 1);
    }
  }
  return payload;
}

}  // namespace penstock::codec
