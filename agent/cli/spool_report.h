// What the commands on a spool say in the same words: errors, findings, and where output went
// wrong.
#pragma once

#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/offline_file.h"
#include "agent/spool/offline_ledger.h"
#include "agent/spool/offline_reader.h"

namespace penstock::cli {

inline constexpr int kExitFine = 0;
inline constexpr int kExitWrong = 1;
inline constexpr int kExitRefused = 2;

// Prints it to standard error: 2 when nothing could be done as asked, else 1.
int report(const Error& error);

// "1.db page 7, lane 2, records 5..9: what\n  -> advice"
std::string to_text(const spool::Finding& finding);

// Says on standard error that these records could not be read.
void report_unreadable(uint32_t lane, const spool::StoredSegment& segment, const Error& error);

// "3,000 records counted as damaged may be in 1.db: ..." of spool::kept_findings(); empty when no
// file is kept beside those that are read.
std::string kept_text(const spool::OfflineSpool& spool, const std::vector<spool::Finding>& kept);

// False, after saying so, when what was printed did not get out. A closed pipe is no failure.
bool flush_output();

}  // namespace penstock::cli
