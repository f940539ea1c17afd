// Makes a sound spool from a damaged one: what the tables still give, what the page carver finds on
// the pages they have lost, put in order into a new directory. The damaged files are only read.
//
// Kept: every record ahead of its lane's cursor, the quarantine, the fates, the lanes with their
// numbers, cursors and epochs. Left out: what a cursor has passed, so nothing delivered comes back.
// Kept files add what the lanes count and do not have any more (offline_kept_rows.h).
// Segments keep their order in time, and with it the marks of the clock that tell their age; what
// was not in a file that has all marks does not expire.
// What is neither kept nor has a fate is written down as damaged, so the account closes. A new
// epoch is begun: numbers that were lost are never given out a second time under the same name.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/offline_reader.h"

namespace penstock::spool {

struct RepairedFile {
  std::filesystem::path file;
  bool was_carved = false;
  CarvedCounts pages;
  uint64_t from_tables = 0;  // segments, sound ones
  uint64_t unsound = 0;      // segments in the tables that cannot be read
  uint64_t carved = 0;       // sound segments on pages the tables do not give
};

struct RepairedLane {
  LaneId id = 0;
  LaneKey key;
  bool was_known = false;  // its row was found
  uint64_t kept = 0;       // records waiting, from tables and pages
  uint64_t passed = 0;     // records still stored that the cursor had passed: left out
  uint64_t quarantined = 0;
  std::vector<SeqRange> lost;  // now damaged
};

struct RepairAccount {
  std::vector<Finding> findings;  // that made it necessary
  std::vector<Finding> left_out;  // files in a newer format
  std::vector<RepairedFile> files;
  std::vector<RepairedLane> lanes;
  uint64_t segments = 0;  // written
};

// `from` is a spool nobody runs on (the caller holds its lock), `into` an empty or new directory.
// kDenied: not a spool, all of it of a newer format, not permitted; kFull: no room.
Result<RepairAccount> repair_spool(const std::filesystem::path& from,
                                   const std::filesystem::path& into, const Log& log);

}  // namespace penstock::spool
