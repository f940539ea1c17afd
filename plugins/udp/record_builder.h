// Datagrams in, records out: source check, size check, splitting, attributes.
//
// Pure apart from the counters. One thread. The records point into the datagrams' bytes and into
// this object: they live until the batch is received into again or clear() is called.
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/sdk/penstock_plugin.hpp"
#include "plugins/udp/counters.h"
#include "plugins/udp/datagram_batch.h"
#include "plugins/udp/settings.h"

namespace penstock::udp {

class RecordBuilder {
 public:
  RecordBuilder(const UdpSettings& settings, Counters& counters)
      : settings_(settings), counters_(counters) {}
  RecordBuilder(const RecordBuilder&) = delete;
  RecordBuilder& operator=(const RecordBuilder&) = delete;

  // Appends the records of one datagram, or counts why there are none. Topic empty: the host has
  // the configured one.
  void add(const Datagram& datagram);
  std::span<const penstock_record> records() const { return records_; }
  // Where to answer, with what, once records[0, end) are safe. In order of `end`; empty without
  // ack_bytes, and without datagrams that became no record.
  struct Answer {
    size_t end;
    sockaddr_storage to;
    LocalAddress from;
    std::string bytes;
  };
  std::span<const Answer> answers() const { return answers_; }
  void clear();

 private:
  struct Source {
    IpAddress address;
    uint16_t port = 0;
    std::string ip_text;
    std::string port_text;
    std::array<penstock_attribute, 2> attributes;
  };

  const Source& remember(const sockaddr_storage& from);
  void append_lines(const Datagram& datagram, const Source& source);
  void append(std::string_view payload, const Datagram& datagram, const Source& source);

  const UdpSettings& settings_;
  Counters& counters_;
  std::deque<Source> sources_;  // a deque: records point at its elements
  std::vector<penstock_record> records_;
  std::vector<Answer> answers_;
};

}  // namespace penstock::udp
