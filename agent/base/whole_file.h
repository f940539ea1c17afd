// Writing a small file so that a reader, also one after a power cut, finds the old content or the
// new one, whole.
//
// Any thread that may wait for the disk; one writer a file at a time.
#pragma once

#include <filesystem>
#include <string_view>

#include "agent/base/result.h"

namespace penstock {

// The content is written beside the file (as FILE.new), synced and renamed over it; then the
// directory is synced. On return the new content is the file's. kDenied, naming file and reason:
// the file is what it was, and nothing is left beside it. `mode`: of a file that may hold secrets
// unless said otherwise. The directory has to exist.
Result<void> write_whole_file(const std::filesystem::path& file, std::string_view content,
                              unsigned mode = 0600);

}  // namespace penstock
