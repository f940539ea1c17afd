// A thread that calls `send(stream, n)` at steady rates, n = 1, 2, 3... for each stream.
//
// It never pauses: when it was held up it catches up. `send` runs on this thread only. stop() (also
// called by the destructor) returns after the last call of `send`. start and stop from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

namespace penstock::test {

class PacedThread {
 public:
  using Send = std::function<void(size_t stream, uint64_t n)>;

  PacedThread(std::vector<double> per_second, Send send);
  ~PacedThread();
  PacedThread(const PacedThread&) = delete;
  PacedThread& operator=(const PacedThread&) = delete;

  // After a stop() the counters go on where they were.
  void start();
  void stop();

 private:
  void run(const std::stop_token& stopping);

  std::vector<double> per_second_;
  std::vector<uint64_t> done_;  // of each stream; touched by the thread, or while there is none
  Send send_;
  std::jthread thread_;
};

}  // namespace penstock::test
