#include "plugins/udp/socket.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include <linux/sock_diag.h>
#include <net/if.h>
#include <unistd.h>

namespace penstock::udp {
namespace {

bool enable(int fd, int level, int option) {
  const int one = 1;
  return ::setsockopt(fd, level, option, &one, sizeof(one)) == 0;
}

std::string advice(int error) {
  switch (error) {
    case EADDRINUSE:
      return "; another program or input listens there";
    case EADDRNOTAVAIL:
      return "; no interface has this address now";
    case EACCES:
      return "; ports below 1024 need CAP_NET_BIND_SERVICE";
    default:
      return "";
  }
}

// Linux hands a wildcard socket what any program of the machine has joined, unless told not to.
void only_own_groups(int fd, int family) {
  const int off = 0;
  ::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off));
  if (family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof(off));
}

void ask_for_buffer(int fd, uint64_t bytes) {
  const int value = static_cast<int>(std::min<uint64_t>(bytes, INT_MAX));
  // The first one is not bound to net.core.rmem_max but needs CAP_NET_ADMIN.
  if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &value, sizeof(value)) != 0) {
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
  }
}

}  // namespace

std::unique_ptr<Socket> Socket::open(Endpoint listen, uint64_t receive_buffer_bytes,
                                     std::string& error) {
  const auto failed = [&](const char* doing) {
    const int number = errno;
    error = std::string("cannot ") + doing + " " + listen.text() + ": " + std::strerror(number) +
            advice(number);
    return nullptr;
  };
  if (!listen.interface.empty()) {
    const unsigned index = ::if_nametoindex(listen.interface.c_str());
    reinterpret_cast<sockaddr_in6&>(listen.address).sin6_scope_id = index;
    if (index == 0) {
      error = "cannot listen on " + listen.text() + ": there is no interface " + listen.interface +
              " now";
      return nullptr;
    }
  }
  const int fd = ::socket(listen.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
  if (fd < 0) return failed("make a socket for");
  std::unique_ptr<Socket> socket(new Socket(fd));
  if (listen.family() == AF_INET6) {
    // [::] means both families whatever net.ipv6.bindv6only says.
    const int off = 0;
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  ask_for_buffer(fd, receive_buffer_bytes);
  enable(fd, SOL_SOCKET, SO_RXQ_OVFL);
  enable(fd, SOL_SOCKET, SO_TIMESTAMPNS);
  if (listen.family() == AF_INET6) {
    enable(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
  } else {
    enable(fd, IPPROTO_IP, IP_PKTINFO);
  }
  only_own_groups(fd, listen.family());
  // No SO_REUSEADDR: for UDP it would share the port and take another program's datagrams.
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&listen.address), listen.size) != 0)
    return failed("listen on");
  return socket;
}

Socket::~Socket() { ::close(fd_); }

std::string Socket::bound_to() const {
  Endpoint endpoint;
  endpoint.size = sizeof(endpoint.address);
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&endpoint.address), &endpoint.size);
  char name[IF_NAMESIZE] = "";
  if (endpoint.needs_interface() &&
      ::if_indextoname(reinterpret_cast<const sockaddr_in6&>(endpoint.address).sin6_scope_id, name))
    endpoint.interface = name;
  return endpoint.text();
}

uint64_t Socket::receive_buffer_bytes() const {
  int value = 0;
  socklen_t size = sizeof(value);
  ::getsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &value, &size);
  return static_cast<uint64_t>(value) /
         2;  // socket(7): the kernel reports the double of what was set
}

std::optional<uint32_t> Socket::drops() const {
  std::array<uint32_t, SK_MEMINFO_VARS> info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(fd_, SOL_SOCKET, SO_MEMINFO, info.data(), &size) != 0) return std::nullopt;
  if (size < (SK_MEMINFO_DROPS + 1) * sizeof(uint32_t)) return std::nullopt;
  return info[SK_MEMINFO_DROPS];
}

void LocalAddress::take(const cmsghdr& item) {
  if (item.cmsg_level == IPPROTO_IP && item.cmsg_type == IP_PKTINFO) {
    in_pktinfo info{};
    std::memcpy(&info, CMSG_DATA(&item), sizeof info);
    family = AF_INET;
    v4 = info.ipi_spec_dst;
  } else if (item.cmsg_level == IPPROTO_IPV6 && item.cmsg_type == IPV6_PKTINFO) {
    std::memcpy(&v6, CMSG_DATA(&item), sizeof v6);
    family = AF_INET6;
    // By route, but where the address means something on that link only.
    if (!IN6_IS_ADDR_LINKLOCAL(&v6.ipi6_addr)) v6.ipi6_ifindex = 0;
  }
}

bool Socket::send(const sockaddr_storage& to, const LocalAddress& from,
                  const std::string& bytes) const {
  iovec payload{const_cast<char*>(bytes.data()), bytes.size()};  // only read
  msghdr message{};
  message.msg_name = const_cast<sockaddr_storage*>(&to);
  message.msg_namelen = to.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))]{};
  auto* item = reinterpret_cast<cmsghdr*>(control);
  const auto attach = [&](int level, int type, const auto& info) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof info);
    item->cmsg_level = level;
    item->cmsg_type = type;
    item->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(item), &info, sizeof info);
  };
  if (from.family == AF_INET) attach(IPPROTO_IP, IP_PKTINFO, in_pktinfo{0, from.v4, {}});
  if (from.family == AF_INET6) attach(IPPROTO_IPV6, IPV6_PKTINFO, from.v6);
  return ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

int Socket::take_error() const {
  int value = 0;
  socklen_t size = sizeof(value);
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &value, &size);
  return value;
}

uint64_t Socket::discard_waiting() const {
  constexpr uint64_t kMostCounted = 65536;
  uint64_t count = 0;
  char byte = 0;
  while (count < kMostCounted && ::recv(fd_, &byte, sizeof(byte), MSG_DONTWAIT) >= 0) ++count;
  return count;
}

std::string receive_buffer_advice(uint64_t asked_bytes, uint64_t granted_bytes) {
  if (granted_bytes >= asked_bytes) return "";
  return "the receive buffer is " + std::to_string(granted_bytes / 1024) + "KiB instead of " +
         std::to_string(asked_bytes / 1024) +
         "KiB, so bursts may be lost; allow more with: sysctl -w net.core.rmem_max=" +
         std::to_string(asked_bytes) + ", for good in a file like sysctl.d/60-penstock.conf";
}

}  // namespace penstock::udp
