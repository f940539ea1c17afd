// The epochs of a spool at rest, and what its records are called by them. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/spool/offline_rows.h"

namespace penstock::spool {

// By id.
using FoundEpochs = std::map<uint32_t, FoundEpoch>;

// The last that an agent has begun, else the last that was imported; null: none.
const FoundEpoch* newest_epoch(const FoundEpochs& epochs);

// agent_id/epoch of records that were committed in `epoch`. Where its row is lost, as the agent
// names them (identity.h); agent_id is "unknown" only where no epoch is known at all.
std::string origin_prefix(const FoundEpochs& epochs, uint32_t epoch);

}  // namespace penstock::spool
