// How the gate tells the tap, through Paho, that a message was cut to its head: the payload of what
// goes on in its place begins with a mark that only this session knows.
//
// In the message itself and not beside it, so that it holds in whatever order Paho delivers. No
// publisher can guess the mark: 16 random bytes, new for every session, never sent to the broker.
// Immutable after construction: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace penstock::mqtt {

class SetAsideMark {
 public:
  static constexpr size_t kBytes = 20;  // the mark, and the size of the packet as it was

  SetAsideMark() {
    std::random_device random;
    for (auto& byte : mark_) byte = static_cast<uint8_t>(random());
  }

  void append(uint32_t packet_bytes, std::vector<uint8_t>& out) const {
    out.insert(out.end(), mark_.begin(), mark_.end());
    for (const int shift : {24, 16, 8, 0})
      out.push_back(static_cast<uint8_t>(packet_bytes >> shift));
  }

  struct Found {
    uint32_t packet_bytes = 0;
    std::string_view head;  // what the payload began with
  };
  // Nothing: the payload is what the publisher sent.
  std::optional<Found> find(std::string_view payload) const {
    if (payload.size() < kBytes || std::memcmp(payload.data(), mark_.data(), mark_.size()) != 0)
      return std::nullopt;
    Found found;
    for (size_t i = mark_.size(); i < kBytes; ++i)
      found.packet_bytes = found.packet_bytes << 8 | static_cast<uint8_t>(payload[i]);
    found.head = payload.substr(kBytes);
    return found;
  }

 private:
  std::array<uint8_t, 16> mark_{};
};

}  // namespace penstock::mqtt
