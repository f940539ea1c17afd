// fsck of a spool at rest: reads every page that is in use, every segment and every quarantined
// record, and says what does not fit, where, and what to do.
#pragma once

#include <vector>

#include "agent/spool/offline_reader.h"

namespace penstock::spool {

struct CheckCounts {
  uint64_t segments = 0;
  uint64_t records = 0;
  uint64_t quarantined = 0;
  uint64_t bytes = 0;  // of segments, as stored
};

// Files that are not read like the others and may hold records that are counted as damaged, or that
// nobody counts; each is one of check_spool's findings, too.
std::vector<Finding> kept_findings(const OfflineSpool& spool);

// Empty: everything fits. Never writes.
std::vector<Finding> check_spool(OfflineSpool& spool, CheckCounts& counts);

}  // namespace penstock::spool
