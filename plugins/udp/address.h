// IP addresses, networks and endpoints as values. Pure; numeric only, no name is ever looked up.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

namespace penstock::udp {

// One address. An IPv4 address that arrives inside an IPv6 one (::ffff:10.0.5.7, as a socket on
// [::] reports it) is the IPv4 address.
struct IpAddress {
  bool v4 = true;
  std::array<uint8_t, 16> bytes{};  // v4 uses the first four

  static std::optional<IpAddress> parse(std::string_view text);
  static IpAddress of(const sockaddr_storage& address);
  std::string text() const;
  bool is_multicast() const;
  bool operator==(const IpAddress&) const = default;
};

// "10.0.5.0/24", "fd00::/8", or one address. Host bits in the text do not matter.
class Network {
 public:
  static std::optional<Network> parse(std::string_view text);
  bool contains(const IpAddress& address) const;

 private:
  IpAddress base_;
  unsigned bits_ = 0;
};

// The sources that may send. An empty list lets everyone in.
class AllowList {
 public:
  AllowList() = default;
  // Throws std::invalid_argument that names the entry.
  explicit AllowList(const std::vector<std::string>& entries);
  bool allows(const IpAddress& address) const;

 private:
  std::vector<Network> networks_;
};

// Where to listen: "0.0.0.0:5140", "[::]:5140", "[fe80::1%eth0]:5140"; port 0 lets the kernel
// choose.
struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string interface;  // as written behind the %; its number is the socket's to find

  static std::optional<Endpoint> parse(std::string_view text);
  int family() const { return address.ss_family; }
  // An IPv6 address that every link has for itself.
  bool needs_interface() const;
  std::string text() const;
};

// The port of an IPv4 or IPv6 socket address, in host order.
uint16_t port_of(const sockaddr_storage& address);

}  // namespace penstock::udp
