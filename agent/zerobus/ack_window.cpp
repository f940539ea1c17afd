#include "agent/zerobus/ack_window.h"

#include <spdlog/fmt/fmt.h>

namespace penstock::zerobus {

int64_t AckWindow::sent(const BatchInfo& batch) {
  unacked_.push_back(batch);
  bytes_ += batch.bytes;
  return next_offset_++;
}

void AckWindow::take_back(size_t count) {
  for (; count > 0 && !unacked_.empty(); --count) {
    bytes_ -= unacked_.back().bytes;
    unacked_.pop_back();
    --next_offset_;
  }
}

Result<std::optional<uint64_t>> AckWindow::ack(int64_t up_to) {
  if (up_to == last_acked_) return std::optional<uint64_t>();
  if (up_to < last_acked_) {
    return Error{ErrorKind::kTransient,
                 fmt::format("the server acknowledged offset {} after {}; not trusting this stream "
                             "any further",
                             up_to, last_acked_),
                 {}};
  }
  if (up_to >= next_offset_) {
    return Error{ErrorKind::kTransient,
                 fmt::format("the server acknowledged offset {} but only {} requests were sent; "
                             "not trusting this stream any further",
                             up_to, next_offset_),
                 {}};
  }
  uint64_t last_seq = 0;
  for (; last_acked_ < up_to; ++last_acked_) {
    last_seq = unacked_.front().last_seq;
    bytes_ -= unacked_.front().bytes;
    unacked_.pop_front();
  }
  return std::optional<uint64_t>(last_seq);
}

}  // namespace penstock::zerobus
