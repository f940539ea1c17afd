// Fuzz target: datagrams into records: split into lines nothing is lost but line ends, nothing is
// empty, and answers are the datagram's own leading bytes.
//
// First byte: split and how many leading bytes. The rest: the datagram.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "plugins/udp/record_builder.h"

namespace {

using penstock::udp::Counters;
using penstock::udp::Datagram;
using penstock::udp::RecordBuilder;
using penstock::udp::UdpSettings;

void require(bool condition) {
  if (!condition) std::abort();
}

std::string without_line_ends(std::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (c != '\n' && c != '\r') kept.push_back(c);
  }
  return kept;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  UdpSettings settings;
  settings.split_lines = (data[0] & 1) != 0;
  settings.ack_bytes = data[0] >> 4;
  Counters counters;
  RecordBuilder builder(settings, counters);
  sockaddr_storage source{};
  source.ss_family = AF_INET;
  const std::string_view payload(reinterpret_cast<const char*>(data) + 1, size - 1);
  Datagram datagram;
  datagram.payload = payload;
  datagram.source = &source;
  builder.add(datagram);
  std::string all;
  for (const auto& record : builder.records()) {
    const std::string_view text = penstock::sdk::view(record.payload);
    require(!text.empty());
    require(!settings.split_lines || text.find('\n') == text.npos);
    all += text;
  }
  require(settings.split_lines ? without_line_ends(all) == without_line_ends(payload)
                               : all == payload);
  require(counters.datagrams == 1 && counters.empty == (builder.records().empty() ? 1u : 0u));
  const bool answered = settings.ack_bytes > 0 && !builder.records().empty();
  require(builder.answers().size() == (answered ? 1u : 0u));
  if (answered) {
    require(builder.answers()[0].bytes == payload.substr(0, settings.ack_bytes));
    require(builder.answers()[0].end == builder.records().size());
  }
  return 0;
}
