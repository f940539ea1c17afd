#include "agent/base/ownership.h"

#include <system_error>

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock {
namespace {

namespace fs = std::filesystem;

bool give(const fs::path& path, const struct stat& to) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return false;
  if (info.st_uid == to.st_uid && info.st_gid == to.st_gid) return true;
  return lchown(path.c_str(), to.st_uid, to.st_gid) == 0;
}

}  // namespace

fs::path nearest_existing(const fs::path& path) {
  std::error_code error;
  fs::path found = fs::weakly_canonical(fs::absolute(path), error);
  if (error) found = fs::absolute(path).lexically_normal();
  while (!fs::exists(found, error) && found.has_relative_path()) found = found.parent_path();
  return found;
}

bool give_to_owner_of(const fs::path& of, const fs::path& made) {
  if (geteuid() != 0) return true;
  struct stat to {};
  if (stat(of.c_str(), &to) != 0) return false;
  bool good = give(made, to);
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(made, error))) return good;
  fs::recursive_directory_iterator entry(made, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error))
    good = give(entry->path(), to) && good;
  return good && !error;
}

std::string user_name(unsigned uid) {
  passwd entry{};
  passwd* found = nullptr;
  char text[1024];
  if (getpwuid_r(uid, &entry, text, sizeof text, &found) == 0 && found) return found->pw_name;
  return std::to_string(uid);
}

}  // namespace penstock
