#include "tests/bench/receive_buffer.h"

#include <algorithm>
#include <cstdint>
#include <fstream>

#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/paths.h"

namespace penstock::bench {
namespace {

int64_t number_in(const std::string& file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key, 0) == 0) return std::stoll(line.substr(line.find('=') + 1));
  }
  return -1;
}

}  // namespace

int64_t shipped_receive_limit() {
  return number_in(test::source_dir() + "/systemd/sysctl.d/60-penstock.conf", "net.core.rmem_max");
}

void describe_receive_buffer(Report& report) {
  std::string allowed;
  std::ifstream("/proc/sys/net/core/rmem_max") >> allowed;
  const auto shipped = shipped_receive_limit();
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool forced = ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBufferBytes,
                                   sizeof kReceiveBufferBytes) == 0;
  if (!forced)
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
  int got = 0;
  socklen_t size = sizeof got;
  ::getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &size);
  ::close(fd);
  const int64_t wanted = std::min<int64_t>(kReceiveBufferBytes, shipped);
  std::string text =
      fmt::format("{} KiB (net.core.rmem_max here {}, shipped {})", got / 2048, allowed, shipped);
  if (got / 2 < wanted) {
    text +=
        "; LESS than the package's sysctl.d file gives, and not root: the figures for UDP are "
        "too low";
  } else {
    text += forced ? "; by CAP_NET_ADMIN, as much as the package's user has by its sysctl.d file"
                   : "; as the package's user has";
  }
  report.machine("receive_buffer", text);
}

}  // namespace penstock::bench
