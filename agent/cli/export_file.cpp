#include "agent/cli/export_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as the kernel has it

// The file that is to come into being: where the links from `file` lead to, whether or not there is
// anything yet. Nothing for a stream, also one that has a file behind it (/dev/stdout): the file is
// another's to replace.
std::optional<fs::path> file_behind(fs::path file) {
  std::error_code error;
  const auto type = fs::status(file, error).type();
  if (type != fs::file_type::regular && type != fs::file_type::not_found) return {};
  for (int i = 0; i < kMostLinks && fs::is_symlink(fs::symlink_status(file, error)); ++i) {
    if (file.native().starts_with("/proc/")) return {};
    file = file.parent_path() / fs::read_symlink(file, error);
  }
  return file;
}

}  // namespace

Result<ExportFile> ExportFile::open(const fs::path& file) {
  if (is_stream(file)) return ExportFile("standard output", {}, File(stdout));
  const auto made = file_behind(file);
  const fs::path part = made ? fs::path(made->string() + ".part") : fs::path();
  const fs::path& opened = made ? part : file;
  File handle(std::fopen(opened.c_str(), "wbe"));
  if (!handle) return file_error(opened);
  return ExportFile(made.value_or(file), part, std::move(handle));
}

ExportFile::~ExportFile() {
  if (file_ && !part_.empty() && !is_there_) std::remove(part_.c_str());
}

void ExportFile::write(std::string_view text) {
  good_ = good_ && std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size();
}

Result<void> ExportFile::finish() {
  good_ = good_ && std::fflush(file_.get()) == 0;
  // A pipe or a terminal has nothing to sync.
  if (good_ && file_.get() != stdout) good_ = fsync(fileno(file_.get())) == 0 || errno == EINVAL;
  if (good_ && !part_.empty()) good_ = std::rename(part_.c_str(), name_.c_str()) == 0;
  is_there_ = good_;
  if (good_) return {};
  return Error{
      ErrorKind::kTransient,
      fmt::format("{} cannot be written: {}; what is there is not all: export again to where "
                  "there is room",
                  name_.string(), std::strerror(errno)),
      {}};
}

}  // namespace penstock::cli
