// BodyBuffers: the memory of batch bodies, used again once gRPC is done with it. A body of some
// hundred KB that is given back to the C library goes back to the kernel, and the next one costs a
// page fault for each of its pages, which is more than all that is done with them otherwise.
//
// Owner: whoever builds batches for one destination; shared by its lanes. Any thread: bodies are
// released on gRPC's. Bodies may outlive it. It keeps at most `kept_bytes` for the next, and
// nothing larger than that.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace penstock::zerobus {

class BodyBuffers : public std::enable_shared_from_this<BodyBuffers> {
 public:
  static constexpr size_t kKeptBytes = size_t{2} << 20;

  static std::shared_ptr<BodyBuffers> make(size_t kept_bytes = kKeptBytes) {
    return std::shared_ptr<BodyBuffers>(new BodyBuffers(kept_bytes));
  }

  // An empty string, with room for `bytes`.
  std::string take(size_t bytes);
  // The same bytes, whose memory comes back when the last reference goes.
  std::shared_ptr<const std::string> share(std::string body);

  size_t held_bytes() const;  // waiting to be used again

 private:
  explicit BodyBuffers(size_t kept_bytes) : kept_bytes_(kept_bytes) {}
  void give_back(std::string body);

  const size_t kept_bytes_;
  mutable std::mutex mutex_;
  std::vector<std::string> free_;
  size_t free_bytes_ = 0;
};

}  // namespace penstock::zerobus
