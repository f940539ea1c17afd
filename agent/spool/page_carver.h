// The page carver: finds the rows of a spool on its pages without the tree that leads to them, for
// a file whose first page, roots or inner pages are gone.
//
// Every page that looks like a table's leaf is read: in its committed form, in the form the log has
// superseded, and in every frame of the log. That brings back rows which were removed or never
// committed; only segments prove themselves, by their checksum. What of it may be used is the
// caller's decision. Pure over bytes; one thread.
#pragma once

#include <functional>

#include "agent/spool/offline_image.h"
#include "agent/spool/offline_rows.h"

namespace penstock::spool {

// Where a row is: its leaf and which cell of it.
struct RowPlace {
  PageRef leaf;
  uint32_t cell = 0;
};

struct CarvedCounts {
  uint64_t pages = 0;
  uint64_t unreadable_pages = 0;
  uint64_t leaves = 0;
};

// `found` is called for every row, best source first: committed pages, superseded pages, loose
// frames.
CarvedCounts carve(const PageImage& image,
                   const std::function<void(const RowPlace&, FoundRow&&)>& found);

// The whole blob of the row at `place`, a segment's payload or a quarantined record. The overflow
// chain is followed as the leaf's own source has it. kCorrupt: it is not there as a whole.
Result<std::string> blob_at(const PageImage& image, const RowPlace& place, FoundTable table);

}  // namespace penstock::spool
