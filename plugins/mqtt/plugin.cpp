// What the host sees of the MQTT input: the option table and the descriptor.
#include <array>

#include "plugins/mqtt/mqtt_input.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace {

constexpr penstock_option option(const char* name, penstock_option_type type, const char* standard,
                                 const char* help, int64_t min = 0, int64_t max = 0) {
  return {sizeof(penstock_option), 0, name, type, standard, nullptr, min, max, help};
}

constexpr penstock_option required(const char* name, penstock_option_type type, const char* help) {
  return {sizeof(penstock_option), 1, name, type, nullptr, nullptr, 0, 0, help};
}

constexpr penstock_option choice(const char* name, const char* choices, const char* standard,
                                 const char* help) {
  return {sizeof(penstock_option), 0, name, PENSTOCK_OPTION_ENUM, standard, choices, 0, 0, help};
}

constexpr int64_t kSecond = 1000;
constexpr int64_t kKiB = 1024;

constexpr auto kOptions = std::to_array<penstock_option>({
    required("server", PENSTOCK_OPTION_STRING,
             "The broker: mqtt://host:port, or mqtts://host:port for TLS (also tcp://, ssl://); "
             "ports default to 1883 and 8883."),
    choice("protocol", "auto|5|3.1.1", "auto", "MQTT version; auto tries 5, then 3.1.1."),
    option("client_id", PENSTOCK_OPTION_STRING, nullptr,
           "Names the session at the broker; must be unique there and stay the same. Default: "
           "<agent id>-<input id>."),
    option("session_expiry", PENSTOCK_OPTION_DURATION, "7d",
           "How long the broker keeps the session while the agent is away (MQTT 5; with 3.1.1 the "
           "broker decides). At least 1s: 0 is refused with the reason.",
           0, 4294967294 * kSecond),
    option("clean_session", PENSTOCK_OPTION_BOOL, nullptr,
           "Never: what is published while the agent is away would be lost. true is refused."),
    option("clean_start", PENSTOCK_OPTION_BOOL, nullptr, "The same, by its name in MQTT 5."),
    option("keepalive", PENSTOCK_OPTION_DURATION, "60s", "A ping goes out after this much silence.",
           kSecond, 65535 * kSecond),
    option("username", PENSTOCK_OPTION_STRING, nullptr, "User name for the broker."),
    option(
        "password", PENSTOCK_OPTION_SECRET, nullptr,
        "Password for the broker; read again when the broker refuses it, as from ${file:/path}."),
    option("tls.ca", PENSTOCK_OPTION_PATH, nullptr,
           "PEM file of the authorities to trust. Default: the system's."),
    option("tls.cert", PENSTOCK_OPTION_PATH, nullptr, "PEM file of the client certificate."),
    option("tls.key", PENSTOCK_OPTION_PATH, nullptr,
           "PEM file of its private key, without a passphrase."),
    option("tls.server_name", PENSTOCK_OPTION_STRING, nullptr,
           "The name the broker's certificate must carry. Default: the host of `server`."),
    required("subscribe[].filter", PENSTOCK_OPTION_STRING, "Topic filter, with + and #."),
    option("subscribe[].qos", PENSTOCK_OPTION_INTEGER, "1",
           "1: held at the broker until the record is safe; 0: not. 2 is refused with the reason.",
           0, 2),
    choice("retained", "keep|skip", "keep",
           "What to do with retained messages (the last value, sent on subscribing)."),
    option("receive_maximum", PENSTOCK_OPTION_INTEGER, "1000",
           "Unacknowledged messages the broker may send (MQTT 5).", 1, 65535),
    option("max_packet_size", PENSTOCK_OPTION_SIZE, "10MiB",
           "The largest MQTT packet accepted. The head of a larger message goes to the quarantine, "
           "and the message is acknowledged.",
           kKiB, 268435455),
    option("max_unacked_bytes", PENSTOCK_OPTION_SIZE, "16MiB",
           "Bytes that may wait for a commit before reading from the broker pauses; at most half "
           "of the "
           "agent's queue (an eighth of memory_limit), whatever is written here.",
           64 * kKiB, 1024 * kKiB * kKiB),
});

}  // namespace

PENSTOCK_INPUT_PLUGIN(penstock::mqtt::MqttInput, "mqtt", "0.1.0",
                      "Receives from an MQTT broker; acknowledges after the commit.", kOptions)
