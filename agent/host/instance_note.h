// InstanceNote: the few bytes that one input keeps over restarts, in a file of their own.
//
// Owned by the Instance. Any thread that may wait for the disk. write: once it returns, the bytes
// survive a power cut; kDenied when there is no file for them, they are too many or cannot be
// written: then what was kept before still is. read: what is kept, empty when that is nothing.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace penstock::host {

class InstanceNote {
 public:
  static constexpr size_t kMaxBytes = size_t{64} << 10;

  // Empty: nothing can be kept. The directory is made when it is needed.
  explicit InstanceNote(std::filesystem::path file) : file_(std::move(file)) {}
  Result<void> write(std::string_view bytes);
  std::string read() const;

 private:
  const std::filesystem::path file_;
  mutable std::mutex mutex_;
};

}  // namespace penstock::host
