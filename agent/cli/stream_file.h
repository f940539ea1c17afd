// A file named on the command line, or the standard stream that `-` or no name stands for.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "agent/base/result.h"

namespace penstock::cli {

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

inline bool is_stream(const std::filesystem::path& file) { return file.empty() || file == "-"; }

// What errno says about `file`.
inline Error file_error(const std::filesystem::path& file) {
  return {ErrorKind::kDenied, file.string() + ": " + std::strerror(errno), {}};
}

}  // namespace penstock::cli
