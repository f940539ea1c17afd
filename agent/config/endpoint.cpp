#include "agent/config/endpoint.h"

#include <algorithm>

#include <arpa/inet.h>

#include "agent/config/units.h"

namespace penstock::config {
namespace {

Error refused(std::string_view what) { return {ErrorKind::kRejected, std::string(what), {}}; }

bool is_address(int family, std::string_view text) {
  in6_addr address{};  // large enough for both families
  return inet_pton(family, std::string(text).c_str(), &address) == 1;
}

bool is_host_name(std::string_view host) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !host.empty() && host.size() <= 253 && host.front() != '.' && host.front() != '-' &&
         std::all_of(host.begin(), host.end(), legal);
}

Result<uint16_t> parse_port(std::string_view text) {
  const auto port = parse_integer(text);
  if (!port || text.starts_with('+')) return refused("has no number after the last `:`");
  if (*port < 1 || *port > 65'535) return refused("has a port that is not from 1 to 65535");
  return static_cast<uint16_t>(*port);
}

// host, host:port, [v6] or [v6]:port.
Result<Endpoint> parse_host_port(std::string_view text, Endpoint endpoint) {
  std::string_view rest;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return refused("has a `[` without `]`");
    endpoint.host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
    if (!is_address(AF_INET6, endpoint.host)) return refused("has no IPv6 address in [ ]");
  } else {
    const size_t colon = text.find(':');
    endpoint.host = text.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
    if (!is_host_name(endpoint.host)) return refused("has no host name");
  }
  if (rest.empty()) return endpoint;
  if (rest.front() != ':') return refused("has text after `]`");
  const auto port = parse_port(rest.substr(1));
  if (!port) return port.error();
  endpoint.port = *port;
  return endpoint;
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  for (const std::string_view scheme : {"https", "http"}) {
    if (text.starts_with(std::string(scheme) + "://")) endpoint.scheme = scheme;
  }
  if (endpoint.scheme.empty()) return refused("does not start with https:// or http://");
  endpoint.port = endpoint.tls() ? 443 : 80;
  text.remove_prefix(endpoint.scheme.size() + 3);
  if (text.ends_with('/')) text.remove_suffix(1);
  if (text.find_first_of("/?#") != std::string_view::npos) return refused("has a path");
  if (text.find('@') != std::string_view::npos) return refused("has a user name");
  return parse_host_port(text, std::move(endpoint));
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;
  if (is_address(AF_INET, host)) return host.starts_with("127.");
  in6_addr address{};
  return inet_pton(AF_INET6, std::string(host).c_str(), &address) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&address);
}

std::string Endpoint::host_port() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace penstock::config
