#include "tests/zerobus_local/timers.h"

#include <utility>

namespace penstock::local {

Timers::Timers() : thread_([this] { loop(); }) {}

Timers::~Timers() { stop(); }

void Timers::at(MonoTime when, std::function<void()> run) {
  const std::lock_guard lock(mutex_);
  const auto it = due_.emplace(when, std::move(run));
  if (it == due_.begin()) changed_.notify_one();
}

void Timers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Timers::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
    } else if (const auto when = due_.begin()->first; when > read_clock().mono) {
      changed_.wait_until(lock, when);
    } else {
      auto run = std::move(due_.extract(due_.begin()).mapped());
      lock.unlock();
      run();
      run = nullptr;  // what it holds dies here, not under the lock
      lock.lock();
    }
  }
}

}  // namespace penstock::local
