// Who wrote the records: the epoch, 64 random bits that make (agent_id, epoch, lane, seq) unique
// for good.
//
// A new epoch starts in a new spool, and when agent_id or the machine id differ from the last
// epoch's: a renamed agent or a card cloned into another machine must not number on under the same
// identity. Called while opening, on one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/sqlite.h"
#include "agent/spool/types.h"

namespace penstock::spool {

struct Surroundings {
  std::string agent_id;
  std::string machine_id;  // empty: unknown
  std::string filesystem;  // recorded only: it may change with the device number
};

struct Epoch {
  uint32_t id = 0;   // row in table `epoch`
  std::string name;  // 16 hex digits
};

// Every epoch the database knows, by its row: origins of records that are still waiting in it.
Result<std::map<uint32_t, OriginPtr>> read_origins(Connection& db);

// The first line of `file`; empty when it cannot be read.
std::string read_machine_id(const std::filesystem::path& file);

// The epoch that goes on, or a new one written to the database. `random` is used for a new one
// only.
Result<Epoch> current_epoch(Connection& db, const Surroundings& now, uint64_t random,
                            int64_t wall_us, const Log& log);

}  // namespace penstock::spool
