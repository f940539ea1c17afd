// The checked settings of one MQTT input, as its other parts use them. Values; made once, in
// create.
//
// The host has checked types and limits against the option table (plugin.cpp); here stands what a
// table cannot say. parse_settings throws std::invalid_argument: what is wrong, where, and what to
// write instead.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/mqtt/protocol_choice.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::mqtt {

struct BrokerAddress {
  bool tls = false;
  std::string host;  // name or literal, without brackets
  uint16_t port = 0;

  std::string text() const;  // "mqtts://plc7:8883"
};

// PEM files, read anew for every connection, so that a renewed certificate needs no restart.
struct TlsFiles {
  std::string ca;  // empty: the system's store
  std::string cert;
  std::string key;
  std::string
      server_name;  // checked against the certificate, and sent (SNI) unless it is an address
};

constexpr uint64_t kDefaultMaxUnackedBytes = 16U << 20;  // as in the option table

struct Settings {
  BrokerAddress server;
  std::optional<Version> protocol;  // nothing: auto
  std::string client_id;
  std::chrono::seconds session_expiry{0};  // at least 1
  std::chrono::seconds keepalive{60};
  std::string username;
  std::optional<std::string> password;  // as it was at the start
  TlsFiles tls;
  std::vector<std::string> filters;
  std::vector<int> qos;  // one for each filter: 0 or 1
  bool skip_retained = false;
  uint32_t receive_maximum = 1000;
  uint32_t max_packet_bytes = 0;
  uint64_t max_unacked_bytes = 0;
  // Not configurable; tests shorten them.
  std::chrono::milliseconds retry_min{500};
  std::chrono::milliseconds retry_max{30000};
};

Settings parse_settings(const sdk::Host& host, const sdk::Options& options);

// Throws std::invalid_argument, with this name, for what CONNECT or libraries that take C strings
// cannot carry.
void check_text(const char* name, std::string_view text);

// "mqtt://host[:port]", also mqtts, tcp, ssl. Throws std::invalid_argument.
BrokerAddress parse_server(std::string_view url);

}  // namespace penstock::mqtt
