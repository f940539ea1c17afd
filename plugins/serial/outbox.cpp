#include "plugins/serial/outbox.h"

#include "plugins/sdk/emit_batches.hpp"

namespace penstock::serial {

penstock_emit_status Outbox::flush(uint64_t& taken) {
  std::vector<penstock_record> records;
  records.reserve(waiting());
  for (size_t i = done_; i < frames_.size(); ++i) {
    records.push_back(sdk::record({}, frames_[i].bytes, {}, frames_[i].received_at_us));
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
