// Takes records out of the quarantine of a spool that no agent runs on: to be sent again, or thrown
// away.
//
// A record leaves the quarantine and arrives where it goes in one transaction, together with all
// others of the call, or with about a megabyte of them. After a cut in the middle of one nothing of
// it happened. A record that left the quarantine is not found there a second time, so repeating a
// call finishes the rest and changes nothing else.
//
// To be sent again: a record that its lane's cursor has not passed goes back into its lane. Any
// other goes into a lane of its own kind (imported_lane.h), under the name it was numbered with, by
// the same route or another, to the same table or another. The agent sends it after its next start.
// One thread; holds the spool's lock while it works.
#pragma once

#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/offline_reader.h"

namespace penstock::spool {

struct QuarantineFilter {
  std::optional<LaneId> lane;
  std::string reason;  // a part of it, in any case; empty: all
  SeqRange seqs{1, std::numeric_limits<Seq>::max()};
};
bool matches(const OfflineLane& lane, const StoredQuarantine& record,
             const QuarantineFilter& filter);

// Empty: as before.
struct ReplayTarget {
  std::string route;
  std::string table;
  // Of the agent that is to send them, where that is known: records of any other route stay, they
  // would wait for ever.
  std::optional<std::set<std::string>> routes = {};
};

struct QuarantineEdit {
  uint64_t done = 0;
  std::map<std::string, uint64_t> left;  // why some stay where they are, and how many
};

// kDenied: in use, not a spool, damaged, not permitted. kFull: no room; what was done before says
// the error.
Result<QuarantineEdit> replay_quarantine(const std::filesystem::path& dir,
                                         const QuarantineFilter& filter, const ReplayTarget& target,
                                         const Log& log);
// They count as discarded from then on.
Result<QuarantineEdit> discard_quarantine(const std::filesystem::path& dir,
                                          const QuarantineFilter& filter, int64_t wall_us,
                                          const Log& log);

}  // namespace penstock::spool
