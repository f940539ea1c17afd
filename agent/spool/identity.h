// Who wrote the records: the epoch, 64 random bits that make (agent_id, epoch, lane, seq) unique
// for good.
//
// A new epoch starts in a new spool, when a damaged file is given up, and when agent_id or the
// machine id differ from the last epoch's: a renamed agent or a card cloned into another machine
// must not number on under the same identity. Ids of epochs are the same in all generations.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/rows.h"
#include "agent/spool/sqlite.h"
#include "agent/spool/types.h"

namespace penstock::spool {

struct Surroundings {
  std::string agent_id;
  std::string machine_id;  // empty: unknown
  std::string filesystem;  // recorded only: it may change with the device number
};

// Every epoch the database knows, oldest first; none: no record was ever committed to it.
Result<std::vector<EpochRow>> read_epochs(Connection& db);

Origin origin_of(const EpochRow& epoch);
// Of records whose epoch nobody knows any more: the same every time they are sent, or exported, so
// that a repeat is seen as one.
Origin unknown_origin(const std::string& agent_id, uint32_t epoch);

// The first line of `file`; empty when it cannot be read.
std::string read_machine_id(const std::filesystem::path& file);

// The epoch to begin, when the last of `known` (oldest first) cannot go on: it is another agent's
// or another machine's, there is none, or `broken` says that numbers may have been given out that
// nobody remembers. nullopt: the last goes on.
std::optional<EpochRow> next_epoch(const std::vector<EpochRow>& known, const Surroundings& now,
                                   bool broken, int64_t wall_us, const Log& log);

}  // namespace penstock::spool
