// The lock on a spool directory: flock on `LOCK`, held for the life of this object; the kernel
// drops it with the process, however that ends. The file itself stays and holds the process id of
// the last holder, for error messages.
#pragma once

#include <filesystem>
#include <optional>

#include "agent/base/result.h"

namespace penstock::spool {

class LockFile {
 public:
  // kTransient: held by someone else (named when known), who may be ending. kDenied: the file
  // cannot be created.
  static Result<LockFile> take(const std::filesystem::path& file);
  // For tools, which do not wait: kDenied for either.
  static Result<LockFile> take_idle(const std::filesystem::path& file);
  // For tools that must not write to the directory: takes the lock without leaving a mark. nullopt:
  // there is no such file. kDenied: held by someone else, or it may not be read.
  static Result<std::optional<LockFile>> take_existing(const std::filesystem::path& file);
  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&& other) noexcept;
  ~LockFile();

 private:
  explicit LockFile(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace penstock::spool
