#include "plugins/serial/outbox.h"

#include "plugins/sdk/emit_batches.hpp"

namespace penstock::serial {

penstock_emit_status Outbox::flush(uint64_t& taken) {
  std::vector<penstock_record> records;
  std::vector<penstock_attribute> polls;
  records.reserve(waiting());
  polls.reserve(waiting());  // records point into it
  for (size_t i = done_; i < frames_.size(); ++i) {
    const auto& frame = frames_[i];
    std::span<const penstock_attribute> attributes;
    if (!frame.poll.empty()) {
      polls.push_back({sdk::str("poll"), sdk::str(frame.poll)});
      attributes = std::span(&polls.back(), 1);
    }
    records.push_back(sdk::record({}, frame.bytes, attributes, frame.received_at_us));
  }
  size_t done = 0;
  const auto status = sdk::emit_batches(host_, records, done);
  taken += done;
  done_ += done;
  if (waiting() == 0) {
    frames_.clear();
    done_ = 0;
  }
  return status;
}

}  // namespace penstock::serial
