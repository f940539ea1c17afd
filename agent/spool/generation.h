// One file of the spool as it is used while running, and the names its files have on disk.
//
// Owned by the spool thread. One generation is active: it takes all commits. Older ones are only
// read, never written again, until nothing in them is needed; then they are removed. A spare is a
// file with tables and nothing in them, made beforehand so that a roll works on a full disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/remains.h"
#include "agent/spool/sizing.h"
#include "agent/spool/store.h"

namespace penstock::spool {

struct Generation {
  uint32_t number;
  Store store;
  // How far its quarantine and fates have been copied to the active generation (rowids), for older
  // ones.
  int64_t quarantine_copied = 0;
  int64_t fates_copied = 0;
  bool is_carried = false;
  // Segments by id that could not be moved, and why: those that may be readable later are tried
  // again once there are no others.
  std::map<int64_t, ErrorKind> unmoved{};
  bool is_kept = false;                           // its quarantine cannot be read: see Counters
  MonoTime not_before{};                          // the next step, after one that did not work
  std::optional<std::map<LaneId, Seq>> begins{};  // lane_state.first_seq, once it was needed
  bool has_strangers = false;                     // segments of lanes that nobody knows
  std::optional<RemainsScan> remains{};           // begun when it was empty
  std::optional<int64_t> unread_since_us{};       // in it then cannot be read on; since boot
  bool is_examined = false;
};

// The numbers of the generation files in `dir`, ascending.
Result<std::vector<uint32_t>> list_generations(const std::filesystem::path& dir);

// Of logs whose database is gone: the rest of a removal that was cut short, or all that is left of
// a file that somebody or a broken filesystem took away. Ascending.
Result<std::vector<uint32_t>> list_lone_logs(const std::filesystem::path& dir);

// Bytes the files of a generation take on disk; 0 for files that are not there.
uint64_t generation_bytes(const std::filesystem::path& dir, uint32_t number);

// Removes the files of a generation and syncs the directory. The database goes first: it must never
// be seen without its WAL.
Result<void> remove_generation(const std::filesystem::path& dir, uint32_t number);

// Makes the files of generation `number`, with tables, grown, synced, with nothing in them. What an
// earlier attempt left is removed first. The files are removed again on failure.
Result<void> make_spare(const std::filesystem::path& dir, uint32_t number, const Sizing& sizing,
                        const Log& log);

}  // namespace penstock::spool
