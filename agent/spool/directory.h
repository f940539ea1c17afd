// Directories whose names survive a power cut: a new entry is durable only once the directory that
// holds it is synced.
#pragma once

#include <filesystem>
#include <string>

#include "agent/base/result.h"

namespace penstock::spool {

// Makes `dir` and what is missing above it, mode 0750 less the umask. kDenied with the reason when
// that fails, kFull when the disk is.
Result<void> make_directory(const std::filesystem::path& dir);

// Why nothing can be created in a spool directory: errno `error` in words, and what to do about it.
std::string why_not_writable(int error);

// What was created in or removed from `dir` is on disk on return.
Result<void> sync_directory(const std::filesystem::path& dir);

}  // namespace penstock::spool
