#include "agent/zerobus/proxy.h"

#include <algorithm>
#include <array>
#include <span>

#include "agent/zerobus/endpoint.h"

namespace penstock::zerobus {
namespace {

// First one that is not empty counts.
constexpr std::array<std::string_view, 6> kOfStreams = {"grpc_proxy",  "GRPC_PROXY", "https_proxy",
                                                        "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"};
constexpr std::array<std::string_view, 4> kOfRequests = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                                         "ALL_PROXY"};
constexpr std::array<std::string_view, 4> kExceptStreams = {"no_grpc_proxy", "NO_GRPC_PROXY",
                                                            "no_proxy", "NO_PROXY"};
constexpr std::array<std::string_view, 2> kExceptRequests = {"no_proxy", "NO_PROXY"};

struct Found {
  std::string_view name;
  std::string value;
};

Found first_of(std::span<const std::string_view> names, const EnvironmentLookup& environment) {
  for (const auto name : names) {
    auto value = environment(name);
    if (value && !value->empty()) return {name, *std::move(value)};
  }
  return {};
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

// An entry of no_proxy: `*`, a name, or a domain with or without its dot.
bool excepts(std::string_view entry, std::string_view host) {
  if (entry == "*") return true;
  if (entry.starts_with('.')) entry.remove_prefix(1);
  if (entry.empty() || host.size() < entry.size()) return false;
  const size_t at = host.size() - entry.size();
  return same(host.substr(at), entry) && (at == 0 || host[at - 1] == '.');
}

bool excepted(std::string_view list, std::string_view host) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (excepts(trimmed(list.substr(at, end - at)), host)) return true;
    at = end + 1;
  }
  return false;
}

bool legal_credentials(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

Error unusable(std::string_view why) {
  return {ErrorKind::kDenied,
          "a proxy " + std::string(why) +
              "; expected http://HOST:PORT or "
              "http://USER:PASSWORD@HOST:PORT",
          {}};
}

}  // namespace

std::string Proxy::address() const { return Endpoint{host, port, false, {}}.address(); }

std::string Proxy::url() const {
  return "http://" + (credentials.empty() ? "" : credentials + "@") + address();
}

Result<Proxy> parse_proxy(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  std::string_view rest = trimmed(url);
  if (rest.starts_with("https://")) return unusable("with https:// is not supported");
  if (rest.starts_with(kScheme)) rest.remove_prefix(kScheme.size());
  if (rest.find("://") != rest.npos) return unusable("has a scheme that is not http");
  Proxy proxy;
  if (const size_t at = rest.rfind('@'); at != rest.npos) {
    proxy.credentials = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    if (!legal_credentials(proxy.credentials)) {
      return unusable("has a user or password with bytes that must be percent-encoded");
    }
  }
  auto endpoint = parse_endpoint(std::string(kScheme) + std::string(rest));
  if (!endpoint) return unusable("has no usable host and port");
  proxy.host = std::move(endpoint->host);
  proxy.port = endpoint->port;
  return proxy;
}

Result<std::optional<Proxy>> proxy_for(std::string_view host, std::string_view configured,
                                       ProxyUse use, const EnvironmentLookup& environment) {
  using Answer = std::optional<Proxy>;
  const bool streams = use == ProxyUse::kStreams;
  if (configured == "none") return Answer();
  const auto except =
      streams ? first_of(kExceptStreams, environment) : first_of(kExceptRequests, environment);
  if (excepted(except.value, host)) return Answer();
  if (!configured.empty()) {
    auto proxy = parse_proxy(configured);
    if (!proxy) return std::move(proxy).error().in("proxy");
    return Answer(*std::move(proxy));
  }
  Endpoint endpoint;
  endpoint.host = host;
  if (endpoint.is_loopback()) return Answer();
  const auto found =
      streams ? first_of(kOfStreams, environment) : first_of(kOfRequests, environment);
  if (found.value.empty()) return Answer();
  auto proxy = parse_proxy(found.value);
  if (!proxy) {
    return std::move(proxy).error().in("environment variable " + std::string(found.name));
  }
  return Answer(*std::move(proxy));
}

}  // namespace penstock::zerobus
