#include "plugins/mqtt/peer_check.h"

#include <cstdlib>
#include <memory>

#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace penstock::mqtt {
namespace {

bool same(const sockaddr_in& a, const sockaddr_in& b) {
  return a.sin_family == AF_INET && b.sin_family == AF_INET && a.sin_port == b.sin_port &&
         a.sin_addr.s_addr == b.sin_addr.s_addr;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);

bool name_of(NameCall call, int fd, sockaddr_in& name) {
  socklen_t size = sizeof name;
  return call(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 && size == sizeof name;
}

}  // namespace

bool peer_is_own_process(int accepted_fd) {
  sockaddr_in local{};
  sockaddr_in remote{};
  if (!name_of(::getsockname, accepted_fd, local) || !name_of(::getpeername, accepted_fd, remote)) {
    return false;
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), ::closedir);
  if (!directory) return false;
  while (const dirent* entry = ::readdir(directory.get())) {
    char* end = nullptr;
    const int fd = static_cast<int>(std::strtol(entry->d_name, &end, 10));
    sockaddr_in mine{};
    sockaddr_in theirs{};
    if (end == entry->d_name || !name_of(::getsockname, fd, mine) || !same(mine, remote)) continue;
    if (name_of(::getpeername, fd, theirs) && same(theirs, local)) return true;
  }
  return false;
}

}  // namespace penstock::mqtt
