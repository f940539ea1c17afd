#include "tests/bench/packaged_user.h"

#include <fstream>
#include <stdexcept>

#include <fcntl.h>
#include <pwd.h>
#include <spdlog/fmt/fmt.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/bench/receive_buffer.h"
#include "tests/support/paths.h"

namespace penstock::bench {
namespace {

const char* const kLimitFile = "/proc/sys/net/core/rmem_max";

// Of this thread alone, which the C library's functions would do for all. The capabilities in
// effect go and come with user 0.
bool become(uid_t user, gid_t group) {
  if (user == 0 && ::syscall(SYS_setresuid, user, user, -1) != 0) return false;
  if (::syscall(SYS_setresgid, group, group, -1) != 0) return false;
  return user == 0 || ::syscall(SYS_setresuid, user, user, -1) == 0;
}

}  // namespace

AsPackagedUser::AsPackagedUser(const std::filesystem::path& dir) {
  if (::geteuid() != 0) {
    why_ = "not root: as the user it was started by";
    return;
  }
  const passwd* user = ::getpwnam("penstock");
  if (user == nullptr) user = ::getpwnam("nobody");
  if (user == nullptr) throw std::runtime_error("there is neither a user penstock nor nobody");
  name_ = user->pw_name;
  uid_ = user->pw_uid;
  std::ifstream(kLimitFile) >> limit_before_;
  limit_ = std::to_string(shipped_receive_limit());
  std::ofstream(kLimitFile) << limit_;
  std::filesystem::remove_all(dir);  // what root left there
  std::filesystem::create_directories(dir);
  if (::chown(dir.c_str(), uid_, user->pw_gid) != 0 || !become(uid_, user->pw_gid))
    throw std::runtime_error("cannot become " + name_);
  const std::string plugin = test::build_dir() + "/plugins/udp.so";
  if (::faccessat(AT_FDCWD, plugin.c_str(), R_OK, AT_EACCESS) == 0 &&
      ::faccessat(AT_FDCWD, dir.c_str(), W_OK, AT_EACCESS) == 0)
    return;
  restore();
  why_ = fmt::format("as root: {} cannot read {} or write to {}", name_, plugin, dir.string());
}

AsPackagedUser::~AsPackagedUser() {
  if (why_.empty()) restore();
}

void AsPackagedUser::restore() {
  if (!become(0, 0)) std::abort();  // what follows would be measured as somebody else
  std::ofstream(kLimitFile) << limit_before_;
}

std::string AsPackagedUser::text() const {
  if (!why_.empty()) return why_;
  return fmt::format("as {} (uid {}), no capabilities, rmem_max {}", name_, uid_, limit_);
}

}  // namespace penstock::bench
