#include "plugins/mqtt/reason_text.h"

#include <array>
#include <cstdio>
#include <utility>

namespace penstock::mqtt {
namespace {

constexpr std::array<std::pair<int, const char*>, 6> kV311 = {{
    {1, "protocol version not supported"},
    {2, "client id refused (set another client_id)"},
    {3, "server unavailable"},
    {4, "bad user name or password"},
    {5, "not authorised"},
    {0x80, "refused (the broker gives no reason; check its access rules)"},
}};

constexpr std::array<std::pair<int, const char*>, 33> kV5 = {{
    {0x00, "normal disconnection"},
    {0x80, "unspecified error"},
    {0x81, "malformed packet"},
    {0x82, "protocol error"},
    {0x83, "implementation specific error"},
    {0x84, "protocol version not supported"},
    {0x85, "client id not valid (set another client_id)"},
    {0x86, "bad user name or password"},
    {0x87, "not authorised"},
    {0x88, "server unavailable"},
    {0x89, "server busy"},
    {0x8A, "client banned"},
    {0x8B, "server shutting down"},
    {0x8C, "bad authentication method"},
    {0x8D, "keep alive timeout"},
    {kSessionTakenOver, "session taken over: another client uses the same client_id"},
    {0x8F, "topic filter not valid"},
    {0x90, "topic name not valid"},
    {0x91, "packet identifier in use"},
    {0x93, "receive maximum exceeded"},
    {0x94, "topic alias not valid"},
    {0x95, "packet too large"},
    {0x96, "message rate too high"},
    {0x97, "quota exceeded"},
    {0x98, "administrative action"},
    {0x99, "payload format not valid"},
    {0x9C, "use another server"},
    {0x9D, "server moved"},
    {0x9E, "shared subscriptions not supported"},
    {0x9F, "connection rate exceeded"},
    {0xA0, "maximum connect time"},
    {0xA1, "subscription identifiers not supported"},
    {0xA2, "wildcard subscriptions not supported"},
}};

template <size_t N>
const char* look_up(const std::array<std::pair<int, const char*>, N>& table, int code) {
  for (const auto& [known, text] : table) {
    if (known == code) return text;
  }
  return nullptr;
}

}  // namespace

std::string reason_text(Version version, int code) {
  const char* text = version == Version::kV5 ? look_up(kV5, code) : look_up(kV311, code);
  if (text) return text;
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), "reason code 0x%02X", static_cast<unsigned>(code));
  return number.data();
}

bool is_version_refusal(int code) { return code == 1 || code == 0x84; }

bool is_login_refusal(int code) { return code == 4 || code == 5 || code == 0x86 || code == 0x87; }

const char* version_name(Version version) { return version == Version::kV5 ? "5" : "3.1.1"; }

}  // namespace penstock::mqtt
