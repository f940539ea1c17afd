#include "agent/spool/commit_policy.h"

#include <algorithm>

namespace penstock::spool {

std::optional<MonoTime> CommitPolicy::records_due(const CommitView& view) const {
  if (!view.deadline) return std::nullopt;
  if (view.forced) return view.now;
  if (view.full) return view.retry_at;
  if (view.waiting_bytes >= commit_bytes_) return view.now;
  if (view.hinted && view.waiting_bytes >= kWorthEarlyCommit) return view.now;
  if (view.hinted) return std::min(*view.deadline, last_early_ + kEarlyCommitSpacing);
  return view.deadline;
}

std::optional<MonoTime> CommitPolicy::acks_due(const CommitView& view) {
  if (!view.acks_since) return std::nullopt;
  if (view.forced) return view.now;
  const MonoTime wanted = view.full || view.pressed ? std::max(view.now, *view.acks_since)
                                                    : *view.acks_since + kAckDelay;
  return std::max(wanted, view.acks_not_before);
}

CommitDecision CommitPolicy::decide(const CommitView& view) {
  using Act = CommitDecision::Act;
  const auto records = records_due(view);
  if (records && *records <= view.now) {
    const bool early = view.hinted && !view.forced && !view.full &&
                       view.waiting_bytes < commit_bytes_ && view.now < *view.deadline;
    if (early) last_early_ = view.now;
    return {Act::kRecords, {}};
  }
  const auto acks = acks_due(view);
  if (acks && *acks <= view.now) return {Act::kAcksOnly, {}};
  if (records && acks) return {Act::kWait, std::min(*records, *acks)};
  return {Act::kWait, records ? records : acks};
}

}  // namespace penstock::spool
