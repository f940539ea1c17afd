#include "tests/support/paced_thread.h"

#include <chrono>
#include <utility>

namespace penstock::test {

PacedThread::PacedThread(std::vector<double> per_second, Send send)
    : per_second_(std::move(per_second)), done_(per_second_.size(), 0), send_(std::move(send)) {}

PacedThread::~PacedThread() { stop(); }

void PacedThread::start() {
  stop();
  thread_ = std::jthread([this](const std::stop_token& stopping) { run(stopping); });
}

void PacedThread::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void PacedThread::run(const std::stop_token& stopping) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  const std::vector<uint64_t> base = done_;
  while (!stopping.stop_requested()) {
    const std::chrono::duration<double> elapsed = Clock::now() - began;
    for (size_t i = 0; i < per_second_.size(); ++i) {
      const uint64_t due = base[i] + static_cast<uint64_t>(elapsed.count() * per_second_[i]);
      while (done_[i] < due && !stopping.stop_requested()) send_(i, ++done_[i]);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace penstock::test
