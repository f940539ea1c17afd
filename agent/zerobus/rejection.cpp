#include "agent/zerobus/rejection.h"

#include <algorithm>

namespace penstock::zerobus {

RejectionGuard::Verdict RejectionGuard::rejected(uint64_t last_seq, bool alone) {
  const bool probing = one_at_a_time();
  suspect_until_ = std::max(suspect_until_, last_seq);
  return probing && alone ? Verdict::kHold : Verdict::kProbe;
}

void RejectionGuard::released(uint64_t up_to_seq) {
  if (up_to_seq >= suspect_until_) suspect_until_ = 0;
}

}  // namespace penstock::zerobus
