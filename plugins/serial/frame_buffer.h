// The bytes of the frame being collected byte by byte, never more than the limit. Value; one owner.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

namespace penstock::serial {

class FrameBuffer {
 public:
  explicit FrameBuffer(size_t max_bytes) : max_bytes_(max_bytes) {}

  // False: the frame is over the limit; the buffer is empty then, and the caller skips the rest of
  // the frame.
  bool push(char byte) {
    if (bytes_.size() == max_bytes_) {
      bytes_.clear();
      return false;
    }
    bytes_.push_back(byte);
    return true;
  }
  bool empty() const { return bytes_.empty(); }
  const std::string& bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }
  std::string take() { return std::exchange(bytes_, {}); }

 private:
  size_t max_bytes_;
  std::string bytes_;
};

}  // namespace penstock::serial
