// The generations found in a directory, made into one spool with exactly one active generation.
//
// The newest that was ever written to is active if it is good. If it is damaged, unreadable, in a
// newer format or gone, collection begins in a fresh one, in a new epoch, with the lanes as the
// damaged file or the `lanes` copy remember them; what can be read of the old file by key is still
// delivered. Files that cannot be opened are parked: left as they are, alarmed, counted in
// max_size. Called while opening, on one thread, with LOCK held.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/generation.h"
#include "agent/spool/identity.h"
#include "agent/spool/kept_files.h"
#include "agent/spool/lanes_file.h"
#include "agent/spool/load.h"
#include "agent/spool/spool.h"

namespace penstock::spool {

struct Recovered {
  std::unique_ptr<Generation> active{};
  std::vector<std::unique_ptr<Generation>> older{};  // oldest first
  std::vector<uint32_t> parked{};
  std::vector<KeptFile> kept{};
  std::optional<uint32_t> spare{};
  uint32_t newest = 0;  // the highest number in use
  std::vector<EpochRow> epochs{};
  LanesFile lanes_file;
  Loaded loaded{};
};

// kDenied: a file is locked, not permitted, or a database that is no spool; kFull: no room to
// begin.
Result<Recovered> recover(const Options& options, const Surroundings& now, int64_t wall_us,
                          const Log& log);

// The transaction that makes a file with nothing in it the active generation. `marks`: all of them,
// since segments in older files still have their ages by them.
Transaction activation(const Ledger& ledger, const std::vector<EpochRow>& epochs,
                       std::vector<ClockMark> marks);

}  // namespace penstock::spool
