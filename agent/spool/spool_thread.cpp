#include <algorithm>
#include <iterator>

#include "agent/base/clock.h"
#include "agent/spool/spool_impl.h"

namespace penstock::spool {
namespace {

std::optional<MonoTime> earlier(std::optional<MonoTime> a, std::optional<MonoTime> b) {
  if (a && b) return std::min(*a, *b);
  return a ? a : b;
}

MonoTime::rep ticks(MonoTime time) { return time.time_since_epoch().count(); }

}  // namespace

CommitView SpoolImpl::view() const {
  CommitView view;
  view.now = read_clock().mono;
  view.deadline = queue_.deadline();
  view.waiting_bytes = queue_.record_bytes();
  view.hinted = hinted_;
  view.forced = flushing() || stopping_;
  view.full = full_;
  view.pressed = pressed();
  view.retry_at = retry_at_;
  view.acks_since = acks_since_;
  view.acks_not_before = acks_not_before_;
  return view;
}

void SpoolImpl::run() {
  Lock lock(mutex_);
  for (;;) {
    busy_since_ = ticks(read_clock().mono);
    if (fault_ && !stopping_ && read_clock().mono >= roll_at_) roll(lock);
    expire(lock);
    const auto decision = fault_ ? CommitDecision{.wake_at = roll_at_} : policy_.decide(view());
    const bool wait = decision.act == CommitDecision::Act::kWait;
    if (stopping_ && (wait || gave_up_)) break;
    if (!wait) {
      commit(lock, decision.act == CommitDecision::Act::kRecords);
      // Under full load too, but not so that it costs any.
      if (read_clock().mono - house_kept_at_ >= kAckDelay) house_keeping(lock);
    }
    settle_flush();
    if (!reads_.empty()) {
      serve_reads(lock);
    } else if (wait && !flushing() && !house_keeping(lock)) {
      const auto wake_at = earlier(earlier(decision.wake_at, chores_at()), expiry_due());
      busy_since_ = kWaiting;
      if (wake_at) {
        wake_.wait_until(lock, *wake_at);
      } else {
        wake_.wait(lock);
      }
    }
  }
  complete_index(lock);
  copy_lanes(lock);
  std::optional<Error> rest;
  if (!queue_.empty())
    rest = Error{ErrorKind::kFull, "the spool stopped with records it found no room for", {}};
  end_flush(fault_ ? fault_ : rest);
  running_ = false;
  busy_since_ = kWaiting;
  done_.notify_all();
}

std::optional<MonoTime> SpoolImpl::busy_since() const {
  const MonoTime::rep since = busy_since_;
  return since == kWaiting ? std::nullopt : std::optional(MonoTime(MonoTime::duration(since)));
}

// Ends a flush once what it asked for is on disk, or cannot be.
void SpoolImpl::settle_flush() {
  if (!flushing()) return;
  if (fault_) {
    end_flush(fault_);
  } else if (queue_.popped() >= flush_target_ && !(acks_since_ && *acks_since_ <= flush_at_)) {
    end_flush({});
  }
}

void SpoolImpl::end_flush(std::optional<Error> error) {
  if (!flushing()) return;
  flush_done_ = flush_wanted_;
  flush_error_ = std::move(error);
  done_.notify_all();
}

Result<void> SpoolImpl::flush() {
  Lock lock(mutex_);
  if (!running_) return Error{ErrorKind::kShutdown, "spool: flush while it is not running", {}};
  const uint64_t ticket = ++flush_wanted_;
  flush_target_ = queue_.pushed();
  flush_at_ = read_clock().mono;
  wake_.notify_one();
  done_.wait(lock, [&] { return flush_done_ >= ticket; });
  if (flush_error_) return *flush_error_;
  return {};
}

void SpoolImpl::stop() {
  const std::lock_guard joining(join_mutex_);
  {
    const Lock lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  Lock lock(mutex_);
  std::move(held_reads_.begin(), held_reads_.end(), std::back_inserter(reads_));
  held_reads_.clear();
  while (!reads_.empty()) {
    ReadCallback done = std::move(reads_.front().done);
    reads_.pop_front();
    lock.unlock();
    done(Error{ErrorKind::kShutdown, "the spool is stopping", {}});
    lock.lock();
  }
}

}  // namespace penstock::spool
