#include "plugins/udp/settings.h"

#include <stdexcept>

namespace penstock::udp {

UdpSettings read_settings(const sdk::Options& options) {
  UdpSettings settings;
  const auto listen = options.text("listen");
  const auto endpoint = Endpoint::parse(listen);
  if (!endpoint) {
    throw std::invalid_argument(
        "listen: '" + listen +
        "' is not ADDRESS:PORT with a numeric address; write 0.0.0.0:5140 or [::]:5140");
  }
  if (options.find("multicast.groups[0]") || options.find("multicast.interface")) {
    throw std::invalid_argument("multicast: is not supported yet; remove the key");
  }
  const auto split = options.text("split", "none");
  if (split != "none" && split != "line") {
    throw std::invalid_argument("split: '" + split + "' is not one of none, line");
  }
  settings.listen = *endpoint;
  settings.allow = AllowList(options.list("allow"));
  settings.split_lines = split == "line";
  settings.max_datagram_bytes = static_cast<size_t>(
      options.number("max_datagram", static_cast<int64_t>(settings.max_datagram_bytes)));
  settings.receive_buffer_bytes = static_cast<uint64_t>(
      options.number("receive_buffer", static_cast<int64_t>(settings.receive_buffer_bytes)));
  if (settings.max_datagram_bytes == 0 || settings.max_datagram_bytes > 65536) {
    throw std::invalid_argument("max_datagram: must be 1 byte to 64KiB");
  }
  return settings;
}

}  // namespace penstock::udp
