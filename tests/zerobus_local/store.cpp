#include "tests/zerobus_local/store.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace penstock::local {
namespace {
constexpr size_t kHurryBytes = 4 << 20;  // this much waiting is not kept for the pace
}

GroupCommitter::GroupCommitter(std::unique_ptr<Backend> backend, Millis pace,
                               std::vector<TablePtr> tables)
    : backend_(std::move(backend)), pace_(pace) {
  open_waiting(std::move(tables));
  thread_ = std::thread([this] { loop(); });
}

GroupCommitter::~GroupCommitter() { stop(); }

void GroupCommitter::open_table(TablePtr table) {
  const std::lock_guard lock(mutex_);
  to_open_.push_back(std::move(table));
  changed_.notify_one();
}

void GroupCommitter::submit(Write write) {
  const std::lock_guard lock(mutex_);
  queued_bytes_ += write.bytes;
  queue_.push_back(std::move(write));
  changed_.notify_one();
}

void GroupCommitter::note_ack(AckNote ack) {
  const std::lock_guard lock(mutex_);
  acks_.push_back(std::move(ack));
}

std::map<std::string, int64_t> GroupCommitter::rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

void GroupCommitter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void GroupCommitter::loop() {
  auto not_before = read_clock().mono;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty() || !to_open_.empty(); });
    changed_.wait_until(lock, not_before, [this] {
      return stopping_ || !to_open_.empty() || queued_bytes_ >= kHurryBytes;
    });
    if (queue_.empty() && to_open_.empty()) {
      if (!stopping_) continue;
      if (!acks_.empty()) (void)backend_->commit({}, acks_);  // what they tell is on record already
      return;
    }
    auto tables = std::exchange(to_open_, {});
    auto group = std::exchange(queue_, {});
    const auto acks = std::exchange(acks_, {});
    queued_bytes_ = 0;
    lock.unlock();
    not_before = read_clock().mono + pace_;
    open_waiting(std::move(tables));
    commit(group, acks);
    group.clear();  // streams may die here, not under the lock
    lock.lock();
  }
}

void GroupCommitter::open_waiting(std::vector<TablePtr> tables) {
  for (const auto& table : tables) {
    auto rows = backend_->open_table(table);
    unusable_.erase(table->name());
    if (rows) {
      const std::lock_guard lock(mutex_);
      rows_[table->name()] = *rows;
    } else {
      unusable_.emplace(table->name(), std::move(rows).error());
    }
  }
}

void GroupCommitter::commit(std::vector<Write>& group, const std::vector<AckNote>& acks) {
  // Requests for a table that could not be opened fail alone.
  const auto usable = std::stable_partition(group.begin(), group.end(), [this](const Write& write) {
    return unusable_.count(write.table->name()) == 0;
  });
  for (auto it = usable; it != group.end(); ++it) {
    it->from->store_failed(unusable_.at(it->table->name()));
  }
  group.erase(usable, group.end());
  if (group.empty() && acks.empty()) return;
  const auto done = backend_->commit(group, acks);
  struct Sum {
    int64_t offset;
    size_t bytes;
  };
  std::unordered_map<DurabilityListener*, Sum> streams;
  for (const auto& write : group) {
    auto& sum = streams[write.from.get()];
    sum.offset = write.offset;
    sum.bytes += write.bytes;
  }
  if (done) {
    const std::lock_guard lock(mutex_);
    for (const auto& write : group)
      rows_[write.table->name()] += static_cast<int64_t>(write.rows.count);
  }
  for (const auto& [stream, sum] : streams) {
    if (done) {
      stream->durable(sum.offset, sum.bytes);
    } else {
      stream->store_failed(done.error());
    }
  }
}

}  // namespace penstock::local
