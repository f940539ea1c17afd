#include "tests/zerobus_local/registry.h"

#include <utility>

namespace penstock::local {

bool Registry::add(std::shared_ptr<StreamFace> stream) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  const auto* key = stream.get();
  streams_.emplace(key, std::move(stream));
  return true;
}

void Registry::remove(const StreamFace* stream) {
  std::shared_ptr<StreamFace> last;  // dies outside the lock
  const std::lock_guard lock(mutex_);
  const auto it = streams_.find(stream);
  if (it == streams_.end()) return;
  last = std::move(it->second);
  streams_.erase(it);
  removed_.notify_all();
}

std::vector<std::shared_ptr<StreamFace>> Registry::streams() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<StreamFace>> out;
  for (const auto& [key, stream] : streams_) out.push_back(stream);
  return out;
}

void Registry::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool Registry::wait_until_empty(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return removed_.wait_until(lock, deadline, [this] { return streams_.empty(); });
}

void Registry::count_opened(const std::string& table) {
  const std::lock_guard lock(mutex_);
  ++tallies_[table].streams;
}

void Registry::count_received(const std::string& table, int64_t records) {
  const std::lock_guard lock(mutex_);
  tallies_[table].received_records += records;
}

void Registry::count_refused(const std::string& table) {
  const std::lock_guard lock(mutex_);
  ++tallies_[table].refused_requests;
}

std::map<std::string, Registry::Tally> Registry::tallies() const {
  const std::lock_guard lock(mutex_);
  return tallies_;
}

}  // namespace penstock::local
