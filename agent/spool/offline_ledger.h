// What a spool at rest says about its lanes, put together from the rows of all its files: which
// records are stored, what became of the others, and whether that adds up. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/spool/offline_file.h"
#include "agent/spool/seq_ranges.h"

namespace penstock::spool {

struct StoredSegment : FoundSegment {
  uint32_t file = 0;  // index of its generation, newest first
  RowPlace place;
};

struct StoredQuarantine : FoundQuarantine {
  uint32_t file = 0;
  RowPlace place;
};

// committed = delivered + replayed + quarantined + discarded + dropped + damaged + missing +
// pending. What was replayed is the replaying lane's (imported_lane.h) from then on, and committed
// there: summed over all lanes, committed less replayed is what sources have put in.
struct OfflineLane {
  LaneId id = 0;
  LaneKey key;
  bool has_row = false;  // else only records speak of it
  Seq cursor = 0;
  Seq next_seq = 1;  // after everything that is stored or decided
  uint64_t quarantined = 0;
  uint64_t discarded = 0;
  uint64_t dropped = 0;
  uint64_t dropped_age = 0;  // of these; the others made room
  uint64_t damaged = 0;
  uint64_t replayed = 0;
  FateCounts behind;     // of these fates, what is at or below the cursor
  uint64_t refused = 0;  // the second ledger: turned away before they had a number
  uint64_t missing = 0;  // ahead of the cursor, neither stored nor decided
  uint64_t pending = 0;  // ahead of the cursor and stored
  uint64_t stored_bytes = 0;
  std::vector<StoredSegment> segments;       // ascending, no record twice
  std::vector<StoredQuarantine> quarantine;  // ascending
  std::vector<FoundFate> fates;              // ascending
  SeqRanges decided;                         // quarantine and fates
  SeqRanges stored;                          // in segments

  uint64_t quarantine_bytes() const;  // of records and reasons
  uint64_t committed() const { return next_seq - 1; }
  uint64_t delivered() const;
  // Ahead of the cursor, neither stored nor decided.
  std::vector<SeqRange> missing_ranges() const;
};

// The rows of one spool, as they are found.
struct FoundRows {
  std::set<std::pair<uint32_t, FoundTable>> broken;  // tables, by file, that lack rows
  std::map<uint32_t, FoundEpoch> epochs;
  std::map<LaneId, FoundLane> lanes;
  std::vector<StoredSegment> segments;
  std::vector<StoredQuarantine> quarantine;
  std::vector<FoundFate> fates;
};

// Takes `found` out of what is counted as damaged; the rest of its damage stays.
void forget_damage(OfflineLane& lane, const SeqRanges& found);

// Rows of `rows` that say something about the same record are taken in the order given, the first
// one counts; where a later one differs, `overlaps` gets it.
std::map<LaneId, OfflineLane> make_lanes(FoundRows& rows, std::vector<StoredSegment>& overlaps);

}  // namespace penstock::spool
