#include "agent/spool/directory.h"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::spool {

Result<void> make_directory(const std::filesystem::path& dir) {
  std::error_code ignored;
  if (std::filesystem::is_directory(dir, ignored)) return {};
  const auto parent = std::filesystem::absolute(dir).parent_path();
  if (auto made = make_directory(parent); !made) return made;
  if (mkdir(dir.c_str(), 0750) != 0 && errno != EEXIST) {
    return Error{ErrorKind::kDenied,
                 "spool directory " + dir.string() + " cannot be made: " + strerror(errno),
                 {}};
  }
  return sync_directory(parent);
}

Result<void> sync_directory(const std::filesystem::path& dir) {
  const int fd = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool good = fd >= 0 && fsync(fd) == 0;
  const std::string why = strerror(errno);
  if (fd >= 0) close(fd);
  if (!good)
    return Error{ErrorKind::kTransient, "sync of directory " + dir.string() + ": " + why, {}};
  return {};
}

}  // namespace penstock::spool
