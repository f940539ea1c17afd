// What the copy of the lanes (lanes_file.h) knows of a spool whose tables are damaged. Pure.
#pragma once

#include <functional>
#include <map>

#include "agent/spool/lanes_file.h"
#include "agent/spool/offline_ledger.h"

namespace penstock::spool {

// The next number of each lane, by whatever the rows say of it.
std::map<LaneId, Seq> next_numbers(const FoundRows& rows);

// Epochs that `rows` lack.
void take_epochs(FoundRows& rows, const LanesCopy& copy);

// Lanes that `rows` lack; of those that they have, and that `may_be_old`, the later word. Cursors
// in the copy are never ahead.
void take_lanes(FoundRows& rows, const LanesCopy& copy,
                const std::function<bool(const FoundLane&)>& may_be_old);

}  // namespace penstock::spool
