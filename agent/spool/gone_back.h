// Whether the newest file is where it was when it was used last, or has gone back in time: damage
// in its log, or rows that are lost. To go on with such a file would give numbers out again, and
// copy older pages over newer ones. FORMAT.md, "A log that ends too early".
//
// May wait for the disk; one thread. kCorrupt says what is missing and what to do.
#pragma once

#include <filesystem>
#include <optional>

#include "agent/base/result.h"
#include "agent/spool/lanes_file.h"
#include "agent/spool/ledger.h"

namespace penstock::spool {

// From the log alone. Reads all of it.
Result<void> has_whole_log(const std::filesystem::path& log);

// From the copy of the lanes: what it says was on disk before it was written. Good without a copy.
Result<void> reaches_copy(const Ledger& ledger, const std::optional<LanesCopy>& copy);

}  // namespace penstock::spool
