#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/config/config.h"

namespace penstock::config {
namespace {

constexpr size_t kMostBytes = 4 * kMiB;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Error failed(const std::filesystem::path& path, int code) {
  return {ErrorKind::kDenied, path.string() + ": " + std::generic_category().message(code), {}};
}

Result<std::string> read_file(const std::filesystem::path& path) {
  // Not blocking: a pipe under this name must not hang the agent.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) return failed(path, errno);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = ::read(file.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(path, errno);
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMostBytes) return failed(path, EFBIG);
  }
}

// The first thing that glob could not look into, though it is there. glob itself goes on behind a
// folder that it cannot open, and takes one that cannot be read to its end as one that ends.
struct Unread {
  std::string folder;  // being read
  std::optional<Error> error;

  void note(const std::string& path, int code) {
    if (code != 0 && code != ENOENT && code != ENOTDIR && !error) error = failed(path, code);
  }
};
thread_local Unread unread;  // glob's functions take no argument of ours

void* open_folder(const char* path) {
  unread.folder = path;
  DIR* folder = ::opendir(path);
  if (!folder) unread.note(path, errno);
  return folder;
}

dirent* read_folder(void* folder) {
  errno = 0;
  dirent* entry = ::readdir(static_cast<DIR*>(folder));
  if (!entry) unread.note(unread.folder, errno);
  return entry;
}

template <int (*look)(const char*, struct stat*)>
int look_at(const char* path, struct stat* info) {
  const int done = look(path, info);
  if (done != 0) unread.note(path, errno);
  return done;
}

Result<std::vector<std::filesystem::path>> find_files(const std::filesystem::path& pattern) {
  std::vector<std::filesystem::path> files;
  unread = {};
  glob_t found{};
  found.gl_opendir = open_folder;
  found.gl_readdir = read_folder;
  found.gl_closedir = [](void* folder) { ::closedir(static_cast<DIR*>(folder)); };
  found.gl_lstat = look_at<::lstat>;
  found.gl_stat = look_at<::stat>;
  if (::glob(pattern.c_str(), GLOB_ALTDIRFUNC, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      struct stat info {};
      const bool is_folder = ::stat(found.gl_pathv[i], &info) == 0 && S_ISDIR(info.st_mode);
      if (!is_folder) files.emplace_back(found.gl_pathv[i]);
    }
  }
  ::globfree(&found);
  if (unread.error) return *std::move(unread.error);
  return files;
}

std::optional<std::string> read_env(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  if (!value) return {};
  return std::string(value);
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : std::string();
}

}  // namespace

Environment system_environment() {
  Environment environment{read_env, read_file, find_files, {}, host_name()};
  if (const auto folder = read_env("CREDENTIALS_DIRECTORY"); folder && !folder->empty()) {
    environment.credentials_dir = *folder;
  }
  return environment;
}

}  // namespace penstock::config
