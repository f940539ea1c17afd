#include "plugins/udp/settings.h"

#include <stdexcept>

namespace penstock::udp {
namespace {

// What a socket can receive that is bound to `listen`.
void check_group(const Group& group, const Endpoint& listen) {
  const bool same_family = group.group.v4 == (listen.family() == AF_INET);
  if (!same_family) {
    throw std::invalid_argument("multicast.groups: " + group.text() + " and listen " +
                                listen.text() + " are not of one family; listen on " +
                                (group.group.v4 ? "0.0.0.0" : "[::]"));
  }
  const auto bound = IpAddress::of(listen.address);
  if (bound != group.group && bound != IpAddress{bound.v4, {}}) {
    throw std::invalid_argument("multicast.groups: a socket on " + listen.text() +
                                " does not receive " + group.text() + "; listen on " +
                                (group.group.v4 ? "0.0.0.0" : "[::]"));
  }
}

Endpoint read_listen(const std::string& text) {
  const auto endpoint = Endpoint::parse(text);
  if (!endpoint) {
    throw std::invalid_argument("listen: '" + text +
                                "' is not ADDRESS:PORT with a numeric address; write 0.0.0.0:5140, "
                                "[::]:5140 or [fe80::1%eth0]:5140");
  }
  if (endpoint->needs_interface() && endpoint->interface.empty()) {
    auto named = *endpoint;
    named.interface = "eth0";
    throw std::invalid_argument("listen: every link has its own " + endpoint->text() +
                                "; name the interface, as in " + named.text());
  }
  if (!endpoint->needs_interface() && !endpoint->interface.empty()) {
    throw std::invalid_argument("listen: only a link-local address has an interface; remove %" +
                                endpoint->interface + " from " + endpoint->text());
  }
  return *endpoint;
}

MulticastSettings read_multicast(const sdk::Options& options, const Endpoint& listen) {
  MulticastSettings multicast;
  multicast.interface = options.text("multicast.interface");
  for (const auto& text : options.list("multicast.groups")) {
    const auto group = Group::parse(text);
    if (!group) {
      throw std::invalid_argument(
          "multicast.groups: '" + text +
          "' is no group; write 239.1.2.3, ff15::5, or GROUP@SOURCE for one source only");
    }
    check_group(*group, listen);
    multicast.groups.push_back(*group);
  }
  const auto bound = IpAddress::of(listen.address);
  if (multicast.groups.empty() && bound.is_multicast()) {
    throw std::invalid_argument("listen: " + bound.text() +
                                " is a multicast group, and nothing comes in unless it is joined; "
                                "add multicast: {groups: [\"" +
                                bound.text() + "\"]}");
  }
  if (multicast.groups.empty() && !multicast.interface.empty())
    throw std::invalid_argument("multicast.interface: there are no multicast.groups to join on it");
  return multicast;
}

}  // namespace

UdpSettings read_settings(const sdk::Options& options) {
  UdpSettings settings;
  const auto split = options.text("split", "none");
  if (split != "none" && split != "line") {
    throw std::invalid_argument("split: '" + split + "' is not one of none, line");
  }
  settings.listen = read_listen(options.text("listen"));
  settings.allow = AllowList(options.list("allow"));
  settings.split_lines = split == "line";
  settings.max_datagram_bytes = static_cast<size_t>(
      options.number("max_datagram", static_cast<int64_t>(settings.max_datagram_bytes)));
  settings.receive_buffer_bytes = static_cast<uint64_t>(
      options.number("receive_buffer", static_cast<int64_t>(settings.receive_buffer_bytes)));
  settings.ack_bytes = static_cast<size_t>(options.number("ack_bytes"));
  settings.multicast = read_multicast(options, settings.listen);
  if (settings.ack_bytes > 0 && !settings.multicast.groups.empty()) {
    throw std::invalid_argument(
        "ack_bytes: the sender of a multicast datagram does not expect an answer; remove one of "
        "ack_bytes and multicast");
  }
  if (settings.max_datagram_bytes == 0 || settings.max_datagram_bytes > 65536) {
    throw std::invalid_argument("max_datagram: must be 1 byte to 64KiB");
  }
  return settings;
}

UdpSettings read_configured(const sdk::Options& options) {
  auto settings = read_settings(options);
  if (port_of(settings.listen.address) == 0) {
    throw std::invalid_argument(
        "listen: port 0 would be another one at each start; write the port "
        "that the devices send to, 1 to 65535");
  }
  return settings;
}

}  // namespace penstock::udp
