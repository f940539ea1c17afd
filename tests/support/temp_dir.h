// A private directory that is removed at the end of its scope.
//
// It lies beside the running test binary, not in /tmp: that may be a tmpfs or overlay, where fsync
// means nothing and where the spool refuses to live. Owned by one scope; throws std::runtime_error
// when it cannot be made. With PENSTOCK_KEEP_DIRS set in the environment it is left behind for a
// look and its path is printed.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace penstock::test {

// Directory of the running executable.
inline std::filesystem::path executable_dir() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

class TempDir {
 public:
  explicit TempDir(std::string_view name = "test") {
    const auto base = executable_dir() / "run";
    std::filesystem::create_directories(base);
    std::string pattern = (base / (std::string(name) + "-XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr)
      throw std::runtime_error("cannot make a directory like " + pattern);
    path_ = pattern;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    if (std::getenv("PENSTOCK_KEEP_DIRS") != nullptr) {
      std::fprintf(stderr, "kept %s\n", path_.c_str());
      return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace penstock::test
