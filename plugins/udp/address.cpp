#include "plugins/udp/address.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>

namespace penstock::udp {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr unsigned kMappedBits = 96;

std::optional<unsigned> parse_number(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value > max)
    return std::nullopt;
  return value;
}

IpAddress from_v6(const uint8_t* bytes) {
  IpAddress address;
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes)) {
    std::copy_n(bytes + kMappedPrefix.size(), 4, address.bytes.begin());
  } else {
    address.v4 = false;
    std::copy_n(bytes, 16, address.bytes.begin());
  }
  return address;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  const std::string terminated(text);
  IpAddress address;
  if (::inet_pton(AF_INET, terminated.c_str(), address.bytes.data()) == 1) return address;
  std::array<uint8_t, 16> v6{};
  if (::inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1) return from_v6(v6.data());
  return std::nullopt;
}

IpAddress IpAddress::of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return from_v6(reinterpret_cast<const sockaddr_in6&>(address).sin6_addr.s6_addr);
  }
  IpAddress result;
  std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
  return result;
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (!v4) {
    ::inet_ntop(AF_INET6, bytes.data(), buffer, sizeof(buffer));
    return buffer;
  }
  char* end = buffer;  // by hand: inet_ntop takes longer than all the rest of a datagram's record
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) *end++ = '.';
    end = std::to_chars(end, buffer + sizeof(buffer), unsigned{bytes[i]}).ptr;
  }
  return {buffer, end};
}

bool IpAddress::is_multicast() const { return v4 ? (bytes[0] & 0xF0) == 0xE0 : bytes[0] == 0xFF; }

std::optional<Network> Network::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto base = IpAddress::parse(text.substr(0, slash));
  if (!base) return std::nullopt;
  const bool written_as_v6 = text.substr(0, slash).find(':') != std::string_view::npos;
  Network network;
  network.base_ = *base;
  network.bits_ = base->v4 ? 32 : 128;
  if (slash == std::string_view::npos) return network;
  auto bits = parse_number(text.substr(slash + 1), written_as_v6 ? 128 : 32);
  if (!bits) return std::nullopt;
  if (written_as_v6 && base->v4) {
    if (*bits < kMappedBits) return std::nullopt;
    *bits -= kMappedBits;
  }
  network.bits_ = *bits;
  return network;
}

bool Network::contains(const IpAddress& address) const {
  if (address.v4 != base_.v4) return false;
  const unsigned whole = bits_ / 8;
  if (!std::equal(base_.bytes.begin(), base_.bytes.begin() + whole, address.bytes.begin()))
    return false;
  const unsigned rest = bits_ % 8;
  return rest == 0 || (base_.bytes[whole] ^ address.bytes[whole]) >> (8 - rest) == 0;
}

AllowList::AllowList(const std::vector<std::string>& entries) {
  for (const auto& entry : entries) {
    const auto network = Network::parse(entry);
    if (!network) {
      throw std::invalid_argument("allow: '" + entry +
                                  "' is not a network; write 10.0.5.0/24, fd00::/8 or one address");
    }
    networks_.push_back(*network);
  }
}

bool AllowList::allows(const IpAddress& address) const {
  if (networks_.empty()) return true;
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const auto& network) { return network.contains(address); });
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_number(text.substr(colon + 1), 65535);
  auto host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  Endpoint endpoint;
  if (const size_t percent = host.find('%'); bracketed && percent != std::string_view::npos) {
    endpoint.interface = host.substr(percent + 1);
    if (endpoint.interface.empty()) return std::nullopt;
    host = host.substr(0, percent);
  }
  const std::string terminated(host);
  auto& v4 = reinterpret_cast<sockaddr_in&>(endpoint.address);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(endpoint.address);
  if (!port) return std::nullopt;
  if (!bracketed && ::inet_pton(AF_INET, terminated.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(*port));
    endpoint.size = sizeof(v4);
  } else if (bracketed && ::inet_pton(AF_INET6, terminated.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<uint16_t>(*port));
    endpoint.size = sizeof(v6);
  } else {
    return std::nullopt;
  }
  return endpoint;
}

bool Endpoint::needs_interface() const {
  if (family() != AF_INET6) return false;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MC_LINKLOCAL(&v6) ||
         IN6_IS_ADDR_MC_NODELOCAL(&v6);
}

std::string Endpoint::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, buffer,
                sizeof(buffer));
    const auto zone = interface.empty() ? "" : "%" + interface;
    return "[" + (buffer + zone) + "]:" + std::to_string(port_of(address));
  }
  ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, buffer,
              sizeof(buffer));
  return std::string(buffer) + ":" + std::to_string(port_of(address));
}

uint16_t port_of(const sockaddr_storage& address) {
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                   : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace penstock::udp
