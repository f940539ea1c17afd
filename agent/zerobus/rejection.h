// RejectionGuard: what to do about data the server refuses in the middle of a stream.
//
// The status does not say which request was refused: it is one of the unacknowledged. So after a
// refusal the suspects are sent again one batch at a time, and a batch that is then refused alone
// is the one; it is kept and tried again from time to time. Splitting the batch down to the record
// takes this class's place. Pure, one owner (a StreamSession).
#pragma once

#include <cstdint>

namespace penstock::zerobus {

class RejectionGuard {
 public:
  enum class Verdict {
    kProbe,  // send again at once, one batch at a time
    kHold,   // this batch is refused alone: only a person helps
  };

  // A stream ended with the server refusing data; records up to `last_seq` were unacknowledged on
  // it, in one batch
  // (`alone`) or several.
  Verdict rejected(uint64_t last_seq, bool alone);
  // Records up to here are acknowledged.
  void released(uint64_t up_to_seq);

  // True while suspects are about: only one batch may be unacknowledged.
  bool one_at_a_time() const { return suspect_until_ != 0; }

 private:
  uint64_t suspect_until_ = 0;  // last record of the refused window; 0: no suspicion
};

}  // namespace penstock::zerobus
