// The option table of the UDP input, and its descriptor.
#include "plugins/udp/udp_input.h"

namespace {

constexpr penstock_option option(const char* name, penstock_option_type type,
                                 const char* default_value, const char* choices, int64_t min,
                                 int64_t max, const char* help) {
  return {sizeof(penstock_option), 0, name, type, default_value, choices, min, max, help};
}

constexpr penstock_option kOptions[] = {
    {sizeof(penstock_option), 1, "listen", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
     "ADDRESS:PORT with a numeric address, as 0.0.0.0:5140, [::]:5140 (both families) or "
     "[fe80::1%eth0]:5140 (link-local)."},
    option("allow", PENSTOCK_OPTION_STRING_LIST, nullptr, nullptr, 0, 0,
           "Networks that may send, as 10.0.5.0/24 or fd00::/8; when absent, everyone."),
    option("split", PENSTOCK_OPTION_ENUM, "none", "none|line", 0, 0,
           "none: a datagram is a record; line: each of its lines is."),
    option("max_datagram", PENSTOCK_OPTION_SIZE, "8KiB", nullptr, 1, 65536,
           "A longer datagram is dropped and counted."),
    option("receive_buffer", PENSTOCK_OPTION_SIZE, "4MiB", nullptr, 4096, 1 << 30,
           "Kernel buffer for bursts; more than net.core.rmem_max needs CAP_NET_ADMIN."),
    option("ack_bytes", PENSTOCK_OPTION_INTEGER, "0", nullptr, 0, 256,
           "Answer a datagram with so many of its leading bytes once it is safe, for senders that "
           "repeat what is not answered; 0: no answer."),
    option("multicast.groups", PENSTOCK_OPTION_STRING_LIST, nullptr, nullptr, 0, 0,
           "Groups to join, as 239.1.2.3 or ff15::5; 232.1.2.3@10.0.5.7 takes one source only."),
    option("multicast.interface", PENSTOCK_OPTION_STRING, nullptr, nullptr, 0, 0,
           "Where to join them, as eth1; when absent, the kernel chooses by route."),
};

}  // namespace

PENSTOCK_INPUT_PLUGIN(penstock::udp::UdpInput, "udp", "0.1.0",
                      "Receives datagrams; records have the attributes source_ip and source_port",
                      kOptions)
