// Files that are no generation any more and yet not removed, and what is known of parked ones.
//
// Kept files hold nothing that waits, but records that are counted as damaged: either sound ones,
// found when a parked file could be opened again, or as they lie behind the end of a log that ends
// too early (`<n>.kept.db`, never removed by the agent), or pages that `penstock spool repair` may
// still get something from (`<n>.damaged.db`, removed oldest first when they are more than the
// quarantine's quota). Each with its `-wal`. Nobody opens them but the offline tools.
//
// `<n>.db.parked` is written when collection goes on in a new file because generation n could not
// be opened or has gone back in time: which of the two, and the first number of each lane that was
// given out again. Records from there on that are found in it later were acknowledged, but are in
// nobody's account.
//
// `<n>.db-wal.lost` is the log of a database that is gone, with rows in it.
//
// Blocking; one thread, LOCK held.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/types.h"

namespace penstock::spool {

enum class KeptFor {
  kRecords,  // sound ones, or all that a log had
  kPages,    // what a carver may find
};

struct KeptFile {
  uint32_t number = 0;  // it had as a generation
  KeptFor why = KeptFor::kPages;
  auto operator<=>(const KeptFile&) const = default;
};

std::filesystem::path kept_file(const std::filesystem::path& dir, const KeptFile& kept);
uint64_t kept_bytes(const std::filesystem::path& dir, const KeptFile& kept);

// Ascending.
std::vector<KeptFile> list_kept(const std::filesystem::path& dir);

// Renames the files of a generation, the database first; each name is on disk before the next
// step. kDenied: not done, or half done: again later, or finish_keeping() at the next start.
Result<void> keep_generation(const std::filesystem::path& dir, const KeptFile& kept);
// The logs of kept files whose renaming was cut short.
Result<void> finish_keeping(const std::filesystem::path& dir);

// Does a log hold rows of more than the schema? That of a file with nothing in it does not.
bool log_has_rows(const std::filesystem::path& log);
// Renames the log of generation `number`; its new name.
Result<std::filesystem::path> set_log_aside(const std::filesystem::path& dir, uint32_t number);
// All such, as they are named, and logs that lie without their database: number and file.
std::map<uint32_t, std::filesystem::path> list_lost_logs(const std::filesystem::path& dir);

Result<void> remove_kept(const std::filesystem::path& dir, const KeptFile& kept);

struct ParkedMark {
  std::map<LaneId, Seq> ends{};  // of lanes, the first number that is not the file's any more
  bool has_gone_back = false;    // gone_back.h
};

// On disk on return. The ends in one that is there already stay: they were written when the file
// was parked.
Result<void> write_parked_mark(const std::filesystem::path& dir, uint32_t number, ParkedMark mark);
// nullopt: generation `number` never was parked.
std::optional<ParkedMark> read_parked_mark(const std::filesystem::path& dir, uint32_t number);

}  // namespace penstock::spool
