#include "agent/spool/lock_file.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/ownership.h"
#include "agent/spool/directory.h"

namespace penstock::spool {
namespace {

std::string holder_of(int fd) {
  char text[32] = {};
  const ssize_t size = pread(fd, text, sizeof text - 1, 0);
  std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  pid.erase(pid.find_last_not_of(" \n") + 1);
  return pid.empty() ? "another process" : "process " + pid;
}

Error failed(const std::filesystem::path& file, const std::string& why) {
  return {ErrorKind::kDenied, "spool lock " + file.string() + ": " + why, {}};
}

// Of a file that is there but not ours, the directory is not at fault.
std::string why_not_opened(const std::filesystem::path& file, int error) {
  struct stat info {};
  if ((error != EACCES && error != EPERM) || stat(file.c_str(), &info) != 0)
    return why_not_writable(error);
  return strerror(error) + std::string("; the file belongs to ") + user_name(info.st_uid) +
         ", and this runs as " + user_name(geteuid()) + ": give " + file.parent_path().string() +
         " and everything in it to the user the agent runs as";
}

}  // namespace

Result<LockFile> LockFile::take(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (fd < 0) return failed(file, why_not_opened(file, errno));
  LockFile lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed(file, strerror(errno));
    auto busy = failed(
        file, "in use by " + holder_of(fd) + "; stop it or give this agent its own spool.dir");
    busy.kind = ErrorKind::kTransient;  // it may be ending
    return busy;
  }
  // Only a hint for people: losing it is no failure.
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd, 0) == 0 && pwrite(fd, pid.data(), pid.size(), 0) < 0) errno = 0;
  return lock;
}

Result<LockFile> LockFile::take_idle(const std::filesystem::path& file) {
  auto lock = take(file);
  if (!lock) lock.error().kind = ErrorKind::kDenied;
  return lock;
}

Result<std::optional<LockFile>> LockFile::take_existing(const std::filesystem::path& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::optional<LockFile>();
  if (fd < 0)
    return failed(file, std::string(strerror(errno)) + "; run as root or as the agent's user");
  LockFile lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed(file, strerror(errno));
    return failed(file, "the spool is in use by " + holder_of(fd) +
                            "; stop that agent first, or work on a copy made while it is stopped");
  }
  return std::optional<LockFile>(std::move(lock));
}

LockFile::LockFile(LockFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

LockFile::~LockFile() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace penstock::spool
