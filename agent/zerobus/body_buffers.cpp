#include "agent/zerobus/body_buffers.h"

#include <utility>

namespace penstock::zerobus {

std::string BodyBuffers::take(size_t bytes) {
  std::string out;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      out = std::move(free_.back());
      free_.pop_back();
      free_bytes_ -= out.capacity();
    }
  }
  out.clear();
  if (out.capacity() < bytes) out.reserve(bytes);
  return out;
}

std::shared_ptr<const std::string> BodyBuffers::share(std::string body) {
  auto* const owned = new std::string(std::move(body));
  return {owned, [pool = weak_from_this()](std::string* done) {
            if (const auto alive = pool.lock()) alive->give_back(std::move(*done));
            delete done;
          }};
}

void BodyBuffers::give_back(std::string body) {
  const std::lock_guard lock(mutex_);
  if (free_bytes_ + body.capacity() > kept_bytes_) return;  // `body` goes after the lock
  free_bytes_ += body.capacity();
  free_.push_back(std::move(body));
}

size_t BodyBuffers::held_bytes() const {
  const std::lock_guard lock(mutex_);
  return free_bytes_;
}

}  // namespace penstock::zerobus
