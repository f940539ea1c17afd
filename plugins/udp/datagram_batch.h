// Room for one recvmmsg call, and what it brought. Reused for the life of the input, at most about
// 512 KiB.
//
// One thread. Views into a batch are valid until its next receive().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "plugins/udp/socket.h"

namespace penstock::udp {

struct Datagram {
  std::string_view payload;  // its first max_datagram_bytes
  const sockaddr_storage* source = nullptr;
  int64_t received_at_us = 0;            // since 1970 UTC, by the kernel; 0: it did not say
  bool truncated = false;                // it was longer
  std::optional<uint32_t> kernel_drops;  // on this socket before it, modulo 2^32
  LocalAddress to{};
};

class DatagramBatch {
 public:
  explicit DatagramBatch(size_t max_datagram_bytes);
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  size_t capacity() const { return headers_.size(); }
  // Takes what waits on `fd`, up to capacity(), without blocking. How many; 0: nothing waits;
  // negative: -errno.
  int receive(int fd);
  // The i-th of the last receive().
  Datagram datagram(size_t i) const;

 private:
  // Timestamp, drop count and local address; the kernel aligns each.
  static constexpr size_t kControlBytes = 128;
  struct Slot {
    sockaddr_storage source;
    iovec payload;
    alignas(cmsghdr) char control[kControlBytes];
  };

  const size_t max_datagram_bytes_;
  std::vector<char> bytes_;
  std::vector<Slot> slots_;
  std::vector<mmsghdr> headers_;
};

}  // namespace penstock::udp
