#include "plugins/udp/record_builder.h"

namespace penstock::udp {

void RecordBuilder::add(const Datagram& datagram) {
  ++counters_.datagrams;
  counters_.bytes += datagram.payload.size();
  if (!settings_.allow.allows(IpAddress::of(*datagram.source))) {
    ++counters_.refused_source;
  } else if (datagram.truncated) {
    ++counters_.oversize;
  } else {
    const size_t before = records_.size();
    const auto& source = remember(*datagram.source);
    if (settings_.split_lines) {
      append_lines(datagram, source);
    } else {
      append(datagram.payload, datagram, source);
    }
    if (records_.size() == before) {
      ++counters_.empty;
    } else if (settings_.ack_bytes > 0) {
      answers_.push_back({records_.size(), *datagram.source, datagram.to,
                          std::string(datagram.payload.substr(0, settings_.ack_bytes))});
    }
  }
}

void RecordBuilder::clear() {
  records_.clear();
  sources_.clear();
  answers_.clear();
}

// Many datagrams in a row are of one sender.
const RecordBuilder::Source& RecordBuilder::remember(const sockaddr_storage& from) {
  const auto address = IpAddress::of(from);
  const uint16_t port = port_of(from);
  if (!sources_.empty() && sources_.back().address == address && sources_.back().port == port)
    return sources_.back();
  auto& source = sources_.emplace_back();
  source.address = address;
  source.port = port;
  source.ip_text = address.text();
  source.port_text = std::to_string(port);
  source.attributes = {penstock_attribute{sdk::str("source_ip"), sdk::str(source.ip_text)},
                       penstock_attribute{sdk::str("source_port"), sdk::str(source.port_text)}};
  return source;
}

void RecordBuilder::append_lines(const Datagram& datagram, const Source& source) {
  auto rest = datagram.payload;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    auto line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    append(line, datagram, source);
  }
}

void RecordBuilder::append(std::string_view payload, const Datagram& datagram,
                           const Source& source) {
  if (payload.empty()) return;
  records_.push_back(sdk::record({}, payload, source.attributes, datagram.received_at_us));
}

}  // namespace penstock::udp
