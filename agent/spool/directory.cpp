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
    return Error{errno == ENOSPC ? ErrorKind::kFull : ErrorKind::kDenied,
                 "spool directory " + dir.string() + " cannot be made: " + why_not_writable(errno),
                 {}};
  }
  return sync_directory(parent);
}

std::string why_not_writable(int error) {
  std::string what = strerror(error);
  switch (error) {
    case EROFS:  // the sandbox of a service looks like this, and so does a disk after an I/O error
      return what +
             "; as a service the agent writes only where its unit lets it: for a spool.dir of its "
             "own make the folder and name it in ReadWritePaths= (the shipped example is "
             "data-disk.conf); else the filesystem was mounted read-only, perhaps after an error: "
             "see dmesg";
    case EACCES:
    case EPERM:
      return what + "; the spool directory must be writable by the user the agent runs as";
    case ENOSPC:
      return what + "; the disk is full: make room, or set spool.dir to another disk";
    default:
      return what;
  }
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
