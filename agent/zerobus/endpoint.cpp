#include "agent/zerobus/endpoint.h"

#include <charconv>

namespace penstock::zerobus {
namespace {

Error malformed(std::string_view url, std::string_view why) {
  return Error{ErrorKind::kDenied,
               "endpoint `" + std::string(url) + "`: " + std::string(why) +
                   "; expected https://HOST or https://HOST:PORT",
               {}};
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Splits "host", "host:port", "[v6]" and "[v6]:port"; the port part is empty when there is none.
// False when brackets do not match or a bare IPv6 address leaves it open which colon is which.
bool split_authority(std::string_view text, std::string_view& host, std::string_view& port) {
  port = {};
  if (take_prefix(text, "[")) {
    const size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    host = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (text.empty()) return true;
    if (!take_prefix(text, ":")) return false;
    port = text;
    return !port.empty();
  }
  const size_t colon = text.find(':');
  host = text.substr(0, colon);
  if (colon == std::string_view::npos) return true;
  port = text.substr(colon + 1);
  return !port.empty() && port.find(':') == std::string_view::npos;
}

bool plausible_host(std::string_view host) {
  if (host.empty()) return false;
  for (const char c : host) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alnum && c != '.' && c != '-' && c != '_' && c != ':' && c != '%') return false;
  }
  return true;
}

}  // namespace

std::string Endpoint::address() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Endpoint::is_loopback() const {
  const bool v4 = host.rfind("127.", 0) == 0 && host.find_first_not_of("0123456789.") ==
                                                    std::string::npos;  // not 127.example.com
  return v4 || host == "localhost" || host == "::1";
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  Endpoint endpoint;
  std::string_view rest = url;
  if (take_prefix(rest, "http://")) {
    endpoint.tls = false;
    endpoint.port = 80;
  } else if (!take_prefix(rest, "https://") && rest.find("://") != std::string_view::npos) {
    return malformed(url, "the scheme is neither https nor http");
  }
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos) return malformed(url, "a path is not supported");
  std::string_view host;
  std::string_view port;
  if (!split_authority(rest, host, port))
    return malformed(url, "host and port cannot be told apart");
  if (!plausible_host(host))
    return malformed(url, "the host name is missing or has odd characters");
  endpoint.host = host;
  if (!port.empty()) {
    const char* const end = port.data() + port.size();
    const auto [stop, error] = std::from_chars(port.data(), end, endpoint.port);
    if (error != std::errc() || stop != end || endpoint.port == 0) {
      return malformed(url, "the port is not a number from 1 to 65535");
    }
  }
  return endpoint;
}

}  // namespace penstock::zerobus
