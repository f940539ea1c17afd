#include "agent/base/whole_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

namespace penstock {
namespace {

Error failed(const std::filesystem::path& path) {
  return {ErrorKind::kDenied,
          fmt::format("{}: cannot be written: {}", path.string(), strerror(errno)),
          {}};
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t wrote = write(fd, content.data(), content.size());
    if (wrote < 0 && errno != EINTR) return false;
    if (wrote > 0) content.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

}  // namespace

Result<void> write_whole_file(const std::filesystem::path& file, std::string_view content,
                              unsigned mode) {
  const std::filesystem::path fresh = file.string() + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return failed(fresh);
  bool good = write_all(fd, content) && fsync(fd) == 0;
  int why = errno;
  if (close(fd) != 0 && good) {  // some filesystems write then, and only now say that they cannot
    good = false;
    why = errno;
  }
  if (!good) errno = why;
  if (!good || rename(fresh.c_str(), file.c_str()) != 0) {
    Error error = failed(fresh);
    unlink(fresh.c_str());
    return error;
  }
  const auto parent = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  const int dir = open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    (void)fsync(dir);  // without it the content before may stand after a power cut: whole as well
    close(dir);
  }
  return {};
}

}  // namespace penstock
