#include "plugins/udp/counters.h"

namespace penstock::udp {

std::vector<sdk::Stat> Counters::stats(uint64_t kernel_drops) const {
  constexpr auto kCounter = PENSTOCK_STAT_COUNTER;
  return {
      {"datagrams", "Datagrams read from the socket.", kCounter, datagrams},
      {"bytes", "Their bytes.", kCounter, bytes},
      {"records", "Records handed to the host.", kCounter, records},
      {"kernel_drops", "Datagrams the kernel dropped because the receive buffer was full.",
       kCounter, kernel_drops, true},
      {"refused_source", "Datagrams from sources that are not in the allow list.", kCounter,
       refused_source, true},
      {"oversize", "Datagrams longer than max_datagram, dropped.", kCounter, oversize, true},
      {"empty", "Datagrams without anything to record.", kCounter, empty},
      {"stalls_on_full", "Times reading stopped because the agent had no room.", kCounter,
       stalls_on_full},
      {"lost_at_stop",
       "Records and datagrams received but not taken by the agent before it stopped.", kCounter,
       lost_at_stop, true},
      {"acks", "Answers sent for datagrams that are safe.", kCounter, acks},
      {"acks_not_sent", "Answers the kernel did not take; their senders repeat.", kCounter,
       acks_not_sent},
      {"joins", "Times the multicast groups were joined.", kCounter, joins},
  };
}

}  // namespace penstock::udp
