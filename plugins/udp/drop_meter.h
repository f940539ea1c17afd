// A total from the kernel's 32-bit drop counter, which wraps and starts anew with every socket, and
// which two places report: the socket itself (exact now) and each datagram (as of its arrival, so
// possibly older). Pure; one owner.
#pragma once

#include <cstdint>

namespace penstock::udp {

class DropMeter {
 public:
  void new_socket() { last_ = 0; }

  void observe(uint32_t cumulative) {
    const auto ahead = static_cast<int32_t>(cumulative - last_);
    if (ahead <= 0) return;  // an older report
    total_ += static_cast<uint32_t>(ahead);
    last_ = cumulative;
  }

  uint64_t total() const { return total_; }

 private:
  uint32_t last_ = 0;
  uint64_t total_ = 0;
};

}  // namespace penstock::udp
