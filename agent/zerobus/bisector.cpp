#include "agent/zerobus/bisector.h"

#include <algorithm>

namespace penstock::zerobus {

Bisector::Verdict Bisector::refused(const Refusal& refusal) {
  const bool began_before = searching();
  next_ = refusal.first_seq;
  suspect_until_ = std::max(suspect_until_, refusal.last_seq);
  if (!refusal.alone) return Verdict::kSearch;
  bad_until_ = refusal.last_seq;
  const bool proven = began_before && refusal.fresh && refusal.first_seq == refusal.last_seq;
  if (!proven) return Verdict::kSearch;
  if (refusal.in_doubt) return Verdict::kInDoubt;
  if (in_a_row_ >= limit_) return Verdict::kHold;
  ++in_a_row_;
  one_record_ = true;
  cleared(refusal.last_seq);
  return Verdict::kPoison;
}

void Bisector::released(uint64_t up_to_seq) {
  in_a_row_ = 0;
  one_record_ = false;
  cleared(up_to_seq);
}

void Bisector::nothing_until(uint64_t seq) { cleared(seq); }

// A suspicion that turns out empty (all parts went through) simply ends: what was refused together
// is then delivered apart.
void Bisector::cleared(uint64_t up_to_seq) {
  next_ = std::max(next_, up_to_seq + 1);
  if (next_ > bad_until_) bad_until_ = 0;
  if (next_ > suspect_until_) suspect_until_ = 0;
}

uint64_t Bisector::until() const {
  if (!searching()) return kNoBound;
  if (one_record_) return next_;
  if (bad_until_ == 0) return suspect_until_;
  return next_ + std::max<uint64_t>(1, (bad_until_ - next_ + 1) / 2) - 1;
}

}  // namespace penstock::zerobus
