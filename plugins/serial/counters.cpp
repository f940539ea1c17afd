#include "plugins/serial/counters.h"

namespace penstock::serial {

void Counters::take(const FramingCounts& counts) {
  resyncs = counts.resyncs;
  oversize_frames = counts.oversize_frames;
  checksum_errors = counts.checksum_errors;
  partial_discarded = counts.partial_discarded;
}

std::vector<sdk::Stat> Counters::stats() const {
  constexpr auto kCounter = PENSTOCK_STAT_COUNTER;
  return {
      {"received_bytes", "Bytes read from the port.", kCounter, received_bytes},
      {"frames", "Frames handed to the host.", kCounter, frames},
      {"resyncs", "Times the place was lost and bytes were skipped to find the next frame.",
       kCounter, resyncs},
      {"oversize_frames", "Frames longer than framing.max_frame, skipped.", kCounter,
       oversize_frames, true},
      {"partial_discarded", "Unfinished frames discarded because the port went away.", kCounter,
       partial_discarded, true},
      {"checksum_errors", "Frames with a wrong or missing checksum, dropped.", kCounter,
       checksum_errors, true},
      {"reopens", "Times the port was opened again after it was lost.", kCounter, reopens},
      {"stalls_on_full", "Times reading stopped because the agent had no room.", kCounter,
       stalls_on_full},
      {"lost_at_stop", "Frames read but not taken by the agent before it stopped.", kCounter,
       lost_at_stop, true},
      {"line_overruns", "Characters lost in the UART or the tty buffer, as the driver counts.",
       kCounter, line_overruns, true},
      {"line_errors", "Characters with a parity or framing error, as the driver counts.", kCounter,
       line_errors, true},
      {"requests", "Requests sent (poll).", kCounter, requests},
      {"replies", "Requests that were answered.", kCounter, replies},
      {"request_timeouts", "Requests that were not answered in time.", kCounter, request_timeouts},
  };
}

}  // namespace penstock::serial
