// StartPatience: while one exists, the service manager is asked for more time as long as the start
// reads on.
//
// A start looks at a few pages of the spool. After an import, a replay or damage it reads all of
// what is stored: minutes for gigabytes on a worn card, and a start that is killed for that begins
// anew. One that reads nothing more is left to the unit's TimeoutStartSec.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "agent/base/clock.h"

namespace penstock::ops {

// Of this process so far, from files and sockets; 0 where the kernel does not say.
uint64_t bytes_read();

class StartPatience {
 public:
  // `read` and `ask` are called on a thread of its own, every `look`; `ask` only when at least 64
  // KiB were read since the look before.
  StartPatience(std::function<uint64_t()> read, std::function<void()> ask, Millis look);
  ~StartPatience();
  StartPatience(const StartPatience&) = delete;
  StartPatience& operator=(const StartPatience&) = delete;

 private:
  void run();

  const std::function<uint64_t()> read_;
  const std::function<void()> ask_;
  const Millis look_;
  std::mutex mutex_;
  std::condition_variable over_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace penstock::ops
