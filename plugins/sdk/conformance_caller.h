// Calls a plugin's functions from one thread, as the host does, and notices one that does not
// return. Part of the conformance kit, not of its face.
//
// One user thread calls; a hook of emit may call try_call from another. The destructor gives a call
// that never returns up: its thread is left behind.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

namespace penstock::sdk {

class ConformanceCaller {
 public:
  ConformanceCaller() : shared_(std::make_shared<Shared>()) {
    thread_ = std::thread([shared = shared_] { run(*shared); });
  }
  ConformanceCaller(const ConformanceCaller&) = delete;
  ConformanceCaller& operator=(const ConformanceCaller&) = delete;
  ~ConformanceCaller() {
    {
      const std::lock_guard lock(shared_->mutex);
      shared_->end = true;
    }
    shared_->changed.notify_all();
    if (idle()) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  // True when `job` returned within `limit`. Waits for the job before it, without a limit.
  bool call(std::function<void()> job, std::chrono::milliseconds limit) {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [&] { return !shared_->busy; });
    return start(std::move(job), lock, limit);
  }
  // Nothing when another job is under way.
  bool try_call(std::function<void()> job, std::chrono::milliseconds limit) {
    std::unique_lock lock(shared_->mutex);
    if (shared_->busy || std::this_thread::get_id() == thread_.get_id()) return true;
    return start(std::move(job), lock, limit);
  }
  // Waits for a job that took too long; false: it still runs after `limit`.
  bool wait_idle(std::chrono::milliseconds limit) {
    std::unique_lock lock(shared_->mutex);
    return shared_->changed.wait_until(lock, std::chrono::system_clock::now() + limit,
                                       [&] { return !shared_->busy; });
  }
  bool idle() {
    const std::lock_guard lock(shared_->mutex);
    return !shared_->busy;
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> job;
    bool busy = false;
    bool end = false;
    uint64_t done = 0;
    uint64_t started = 0;
  };

  bool start(std::function<void()> job, std::unique_lock<std::mutex>& lock,
             std::chrono::milliseconds limit) {
    shared_->job = std::move(job);
    shared_->busy = true;
    const uint64_t mine = ++shared_->started;
    shared_->changed.notify_all();
    return shared_->changed.wait_until(lock, std::chrono::system_clock::now() + limit,
                                       [&] { return shared_->done >= mine; });
  }

  static void run(Shared& shared) {
    std::unique_lock lock(shared.mutex);
    for (;;) {
      shared.changed.wait(lock, [&] { return shared.job || shared.end; });
      if (!shared.job) return;
      const auto job = std::exchange(shared.job, nullptr);
      lock.unlock();
      job();
      lock.lock();
      shared.busy = false;
      ++shared.done;
      shared.changed.notify_all();
    }
  }

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace penstock::sdk
