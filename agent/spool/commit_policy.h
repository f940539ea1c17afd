// When the spool thread writes. Pure but for the time of the last early commit; one owner, no lock.
//
// Records: at the earliest deadline, at `commit_bytes`, or early on a hint: at once when what waits
// is worth the pages a commit costs, else at most 50 times a second ("as soon as it is quiet" would
// be a commit per record and wear the card out).
// Acknowledgements: with the next commit of records, or alone 1 s after the first one; at once
// while the spool is not green, since they are what makes room.
#pragma once

#include <cstddef>
#include <optional>

#include "agent/base/clock.h"

namespace penstock::spool {

inline constexpr Millis kEarlyCommitSpacing{20};
// With so many bytes of records a commit writes about twice what they are, not many times.
inline constexpr size_t kWorthEarlyCommit = 16 << 10;
inline constexpr Millis kAckDelay{1000};

struct CommitView {
  MonoTime now;
  std::optional<MonoTime> deadline;  // of the waiting records; none: no record waits
  size_t waiting_bytes = 0;
  bool hinted = false;                 // a source is stalled on acknowledgements
  bool forced = false;                 // flush or stop
  bool full = false;                   // the last commit of records found no room
  bool pressed = false;                // not green, or a source waits for its lane's share
  MonoTime retry_at;                   // while full: records not before
  std::optional<MonoTime> acks_since;  // the first acknowledgement that is not on disk
  MonoTime acks_not_before;            // after one that found no room
};

struct CommitDecision {
  enum class Act { kWait, kRecords, kAcksOnly };
  Act act = Act::kWait;
  std::optional<MonoTime> wake_at;  // for kWait; none: nothing to wait for but news
};

class CommitPolicy {
 public:
  explicit CommitPolicy(size_t commit_bytes) : commit_bytes_(commit_bytes) {}
  CommitDecision decide(const CommitView& view);

 private:
  // When records are to be committed; none while nothing waits.
  std::optional<MonoTime> records_due(const CommitView& view) const;
  static std::optional<MonoTime> acks_due(const CommitView& view);

  size_t commit_bytes_;
  MonoTime last_early_{};
};

}  // namespace penstock::spool
