// The query that proves from a table that nothing is missing in it: per origin, every number
// between the first and the last is there, or a spool's ledger says what became of it. Which the
// first and the last are, and which origins there are, only the ledger knows: without one they are
// those of the table.
//
// The text is the same in Databricks SQL and SQLite but for how the table is written. Pure, but
// that it reads the spool it is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/spool/offline_reader.h"

namespace penstock::cli {

// Numbers of an origin that a table need not have.
struct Explained {
  std::string origin;
  uint64_t first = 0;
  uint64_t last = 0;
  std::string fate;
};

struct AuditLedger {
  std::vector<Explained> explained;
  // A lane of a spool numbers on when its epoch changes: rows of the first count as the second's.
  std::vector<std::pair<std::string, std::string>> renamed;
};

// What `spool` says about records for `table`.
AuditLedger audit_ledger(spool::OfflineSpool& spool, const std::string& table);

// `table` as it is to stand in the query. Rows of the result are what nobody can explain.
std::string audit_query(const std::string& table, const AuditLedger& ledger);

}  // namespace penstock::cli
