// Proxy: which HTTP proxy leads to a host, from the configuration or the environment. Pure values.
//
// A proxy is asked to CONNECT; TLS goes end to end through it. Names and precedence of the
// environment are those of the service's own clients (reference: its SDK's proxy rules) for
// streams, and curl's for requests. no_proxy holds for a configured proxy too. The proxies of the
// environment are never used for this machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace penstock::zerobus {

struct Proxy {
  std::string host;  // name or address, IPv6 without brackets
  uint16_t port = 80;
  std::string credentials;  // "user:password", percent-encoded as in a URL; never to be shown

  std::string address() const;  // "host:port", to be shown
  std::string url() const;      // with the credentials
};

// Reads `http://[user:password@]host[:port]`, also without the scheme. kDenied with what is wrong,
// without the credentials; an https:// proxy is refused, as gRPC cannot use one.
Result<Proxy> parse_proxy(std::string_view url);

enum class ProxyUse { kStreams, kRequests };
using EnvironmentLookup = std::function<std::optional<std::string>(std::string_view name)>;

// The proxy for `host`. `configured` empty: as the environment says; "none": no proxy; else that
// one. kDenied: it cannot be read; the text says where it stands.
Result<std::optional<Proxy>> proxy_for(std::string_view host, std::string_view configured,
                                       ProxyUse use, const EnvironmentLookup& environment);

}  // namespace penstock::zerobus
