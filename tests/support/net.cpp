#include "tests/support/net.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace penstock::test {

int connect_loopback(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  ::close(fd);
  return -1;
}

bool can_connect(uint16_t port) {
  const int fd = connect_loopback(port);
  if (fd < 0) return false;
  ::close(fd);
  return true;
}

std::vector<int> own_connections_to(uint16_t port) {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    const bool v6 = peer.ss_family == AF_INET6;  // also for IPv4 on a socket that takes both
    if (!v6 && peer.ss_family != AF_INET) continue;
    const in_port_t at = v6 ? reinterpret_cast<const sockaddr_in6&>(peer).sin6_port
                            : reinterpret_cast<const sockaddr_in&>(peer).sin_port;
    if (ntohs(at) == port) found.push_back(fd);
  }
  return found;
}

LoopbackListener listen_loopback() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(fd, 8) == 0 &&
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0)
    return {fd, ntohs(address.sin_port)};
  ::close(fd);
  throw std::runtime_error("no port of 127.0.0.1 to listen at");
}

uint64_t kernel_drops(uint16_t port) {
  std::ifstream table("/proc/net/udp");
  char wanted[8];
  std::snprintf(wanted, sizeof wanted, ":%04X", port);
  uint64_t drops = 0;
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string slot;
    std::string local;
    fields >> slot >> local;
    if (!local.ends_with(wanted)) continue;
    const auto end = line.find_last_not_of(' ');
    drops += std::strtoull(line.c_str() + line.find_last_of(' ', end), nullptr, 10);
  }
  return drops;
}

}  // namespace penstock::test
