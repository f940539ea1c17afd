// Where a Zerobus service listens. Pure values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/zerobus/proxy.h"

namespace penstock::zerobus {

struct Endpoint {
  std::string host;  // name or address, IPv6 without brackets
  uint16_t port = 443;
  bool tls = true;      // false only for http:// endpoints; whether those are allowed is up to the
                        // configuration
  std::string ca_file;  // PEM; empty: the system's store
  std::optional<Proxy> proxy = std::nullopt;  // leads there; the environment is not looked at

  // "host:port", IPv6 in brackets.
  std::string address() const;
  bool is_loopback() const;  // localhost, 127.0.0.0/8, ::1
};

// Reads `https://host[:port]`, `http://host[:port]` or `host[:port]` (https); a trailing slash is
// ignored. kDenied with what is wrong and what is expected.
Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace penstock::zerobus
