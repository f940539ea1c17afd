// Answers that wait for their records to be safe. Pure; one owner.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include <sys/socket.h>

#include "plugins/udp/socket.h"

namespace penstock::udp {

struct Ack {
  uint64_t seq = 0;  // the newest record of its datagram
  sockaddr_storage to{};
  LocalAddress from;
  std::string bytes;
};

class AckQueue {
 public:
  // More than this wait only when nothing is committed: the input then stops reading.
  static constexpr size_t kMost = 4096;

  void push(Ack ack) { waiting_.push_back(std::move(ack)); }
  // The oldest, when `safe` covers it.
  std::optional<Ack> pop(uint64_t safe) {
    if (waiting_.empty() || waiting_.front().seq > safe) return std::nullopt;
    auto ack = std::move(waiting_.front());
    waiting_.pop_front();
    return ack;
  }
  bool empty() const { return waiting_.empty(); }
  bool full() const { return waiting_.size() >= kMost; }

 private:
  std::deque<Ack> waiting_;  // sequence numbers only grow
};

}  // namespace penstock::udp
