#include "plugins/mqtt/settings.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <stdexcept>

namespace penstock::mqtt {
namespace {

constexpr size_t kMaxMqttString = 65535;  // bytes, MQTT 3.1.1 section 1.5.3

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

uint16_t parse_port(std::string_view text, std::string_view url) {
  unsigned port = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failure != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
    refuse("server: \"" + std::string(url) + "\": the port must be a number from 1 to 65535");
  }
  return static_cast<uint16_t>(port);
}

// Splits "host:port", "host" and "[::1]:port"; an empty port means none was given.
void split_host(std::string_view rest, std::string_view url, std::string& host,
                std::string_view& port) {
  if (!rest.empty() && rest.front() == '[') {
    const auto close = rest.find(']');
    if (close == std::string_view::npos) {
      refuse("server: \"" + std::string(url) + "\": the ] after the IPv6 address is missing");
    }
    host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
    if (!port.empty() && port.front() != ':') {
      refuse("server: \"" + std::string(url) + "\": a :port is expected after ]");
    }
  } else {
    const auto colon = rest.find(':');
    if (colon != rest.rfind(':')) {
      refuse("server: \"" + std::string(url) +
             "\": write an IPv6 address in brackets: mqtt://[::1]:1883");
    }
    host = rest.substr(0, colon);
    port = colon == std::string_view::npos ? "" : rest.substr(colon);
  }
  if (!port.empty()) {
    port.remove_prefix(1);
    if (port.empty()) refuse("server: \"" + std::string(url) + "\": no port after the colon");
  }
}

// MQTT 5 section 4.8.2: $share/NAME/FILTER. Brokers take what is no such thing for an ordinary
// filter, to which nobody publishes.
void check_shared(const std::string& filter, const std::string& where) {
  constexpr std::string_view kShare = "$share";
  if (filter != kShare && !filter.starts_with("$share/")) return;
  const auto rest = std::string_view(filter).substr(std::min(filter.size(), kShare.size() + 1));
  const size_t slash = rest.find('/');
  const auto name = rest.substr(0, slash);
  if (name.empty() || name.find_first_of("+#") != std::string_view::npos ||
      slash == std::string_view::npos || slash + 1 == rest.size()) {
    refuse(where + ": \"" + filter +
           "\": a shared subscription is $share/NAME/FILTER, as $share/gateways/plant/#; NAME "
           "without + and #");
  }
}

// MQTT 3.1.1 section 4.7: # only as the whole last level, + only as a whole level.
void check_filter(const std::string& filter, const std::string& where) {
  if (filter.empty()) refuse(where + ": a topic filter must not be empty");
  if (filter.size() > kMaxMqttString) refuse(where + ": longer than 65535 bytes");
  if (filter.find('\0') != std::string::npos) refuse(where + ": contains a NUL character");
  check_shared(filter, where);
  size_t begin = 0;
  while (true) {
    const size_t end = std::min(filter.find('/', begin), filter.size());
    const auto level = std::string_view(filter).substr(begin, end - begin);
    const bool last = end == filter.size();
    if (level.find('#') != std::string_view::npos && (level.size() > 1 || !last)) {
      refuse(where + ": \"" + filter + "\": # must stand alone in the last level");
    }
    if (level.find('+') != std::string_view::npos && level.size() > 1) {
      refuse(where + ": \"" + filter + "\": + must stand alone in its level");
    }
    if (last) return;
    begin = end + 1;
  }
}

void parse_subscriptions(const sdk::Options& options, Settings& settings) {
  for (size_t i = 0;; ++i) {
    const std::string where = "subscribe[" + std::to_string(i) + "]";
    const auto* filter = options.find(where + ".filter");
    if (!filter) break;
    settings.filters.emplace_back(sdk::view(filter->text));
    check_filter(settings.filters.back(), where + ".filter");
    const auto qos = options.number(where + ".qos", 1);
    if (qos == 2) {
      refuse(where +
             ".qos: 2 is not offered: the client library confirms a QoS 2 message before it hands "
             "it over, so a power cut would lose it; QoS 1 is held until the record is safe. Write "
             "qos: 1 (the broker then sends QoS 2 messages with QoS 1)");
    }
    if (qos < 0 || qos > 1) refuse(where + ".qos: must be 0 or 1");
    settings.qos.push_back(static_cast<int>(qos));
  }
  if (settings.filters.empty()) {
    refuse("subscribe: at least one entry is needed: subscribe: [{filter: \"plant/#\", qos: 1}]");
  }
}

void parse_tls(const sdk::Options& options, Settings& settings) {
  for (const char* name : {"tls.ca", "tls.cert", "tls.key", "tls.server_name"}) {
    if (!settings.server.tls && options.find(name)) {
      refuse(std::string(name) + " is set but server is " + settings.server.text() +
             ": write mqtts:// to use TLS");
    }
  }
  settings.tls = {options.text("tls.ca"), options.text("tls.cert"), options.text("tls.key"),
                  options.text("tls.server_name", settings.server.host)};
  check_text("tls.server_name", settings.tls.server_name);
  if (settings.tls.cert.empty() != settings.tls.key.empty()) {
    refuse("tls: a client certificate needs both tls.cert and tls.key");
  }
}

void parse_login(const sdk::Options& options, Settings& settings) {
  settings.username = options.text("username");
  if (const auto* password = options.find("password")) {
    settings.password = std::string(sdk::view(password->text));
    if (settings.username.empty()) refuse("password: needs a username as well");
  }
  check_text("username", settings.username);
  check_text("password", settings.password.value_or(""));
  check_text("client_id", settings.client_id);
}

// The session is where the broker keeps what comes while nobody takes it.
void check_session_lasts(const sdk::Options& options) {
  for (const char* name : {"clean_session", "clean_start"}) {
    if (options.number(name, 0) == 0) continue;
    refuse(std::string(name) +
           ": a clean session is not offered: the broker would forget what is published while the "
           "agent is away, and what it had sent without an acknowledgement. Remove the key");
  }
  if (options.number("session_expiry", 1) == 0) {
    refuse(
        "session_expiry: must be at least 1s: a session that ends with its connection loses what "
        "is "
        "published while the agent is away. Write how long that may be, as 7d");
  }
}

std::chrono::seconds whole_seconds(int64_t milliseconds) {
  return std::chrono::ceil<std::chrono::seconds>(std::chrono::milliseconds(milliseconds));
}

}  // namespace

std::string BrokerAddress::text() const {
  const bool bracket = host.find(':') != std::string::npos;
  return std::string(tls ? "mqtts://" : "mqtt://") + (bracket ? "[" + host + "]" : host) + ":" +
         std::to_string(port);
}

void check_text(const char* name, std::string_view text) {
  if (text.size() > kMaxMqttString) refuse(std::string(name) + ": longer than 65535 bytes");
  if (text.find('\0') != std::string_view::npos)
    refuse(std::string(name) + ": contains a NUL character");
}

BrokerAddress parse_server(std::string_view url) {
  const auto mark = url.find("://");
  const auto scheme = url.substr(0, mark == std::string_view::npos ? 0 : mark);
  BrokerAddress address;
  if (scheme == "mqtts" || scheme == "ssl") {
    address.tls = true;
  } else if (scheme != "mqtt" && scheme != "tcp") {
    refuse("server: \"" + std::string(url) +
           "\": write mqtt://host:port or mqtts://host:port (WebSockets are not supported)");
  }
  std::string_view rest = url.substr(mark + 3);
  if (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  if (rest.find('@') != std::string_view::npos) {
    refuse("server: credentials do not belong into the address: use username and password");
  }
  if (rest.find_first_of("/?# ") != std::string_view::npos) {
    refuse("server: \"" + std::string(url) + "\": nothing may follow host:port");
  }
  if (rest.find('\0') != std::string_view::npos) refuse("server: contains a NUL character");
  std::string_view port;
  split_host(rest, url, address.host, port);
  if (address.host.empty()) refuse("server: \"" + std::string(url) + "\": the host is missing");
  address.port = port.empty() ? (address.tls ? 8883 : 1883) : parse_port(port, url);
  return address;
}

Settings parse_settings(const sdk::Host& host, const sdk::Options& options) {
  Settings settings;
  settings.server = parse_server(options.text("server"));
  const auto protocol = options.text("protocol", "auto");
  if (protocol == "5") settings.protocol = Version::kV5;
  if (protocol == "3.1.1") settings.protocol = Version::kV311;
  settings.client_id = options.text("client_id");
  if (settings.client_id.empty()) {
    settings.client_id = std::string(host.agent_id()) + "-" + std::string(host.instance_id());
  }
  check_session_lasts(options);
  settings.session_expiry = whole_seconds(options.number("session_expiry", 604800000));
  settings.keepalive = whole_seconds(options.number("keepalive", 60000));
  parse_login(options, settings);
  parse_tls(options, settings);
  parse_subscriptions(options, settings);
  settings.skip_retained = options.text("retained", "keep") == "skip";
  settings.receive_maximum = static_cast<uint32_t>(options.number("receive_maximum", 1000));
  settings.max_packet_bytes = static_cast<uint32_t>(options.number("max_packet_size", 10 << 20));
  settings.max_unacked_bytes =
      static_cast<uint64_t>(options.number("max_unacked_bytes", kDefaultMaxUnackedBytes));
  return settings;
}

}  // namespace penstock::mqtt
