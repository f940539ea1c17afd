// What a broker's refusal codes mean, in words for the person who reads the status. Pure.
#pragma once

#include <string>

#include "plugins/mqtt/protocol_choice.h"

namespace penstock::mqtt {

// CONNACK return code (MQTT 3.1.1 section 3.2.2.3) or reason code (MQTT 5 section 2.4; also of
// SUBACK and DISCONNECT).
std::string reason_text(Version version, int code);

constexpr int kSessionTakenOver = 0x8E;  // DISCONNECT, MQTT 5

// The code says that the protocol version is the problem.
bool is_version_refusal(int code);

// The code says that it is the user name or the password, or may be; brokers say "not authorised"
// as well.
bool is_login_refusal(int code);

const char* version_name(Version version);  // "5", "3.1.1"

}  // namespace penstock::mqtt
