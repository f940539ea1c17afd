// How max_size is shared between the database, its WAL and the room kept for making room. Pure.
//
// SQLITE_FULL has to come from our quota and not from the disk: on a full disk a WAL database can
// neither delete nor checkpoint. So everything a removal needs is set aside and, as far as
// possible, allocated beforehand.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::spool {

inline constexpr int64_t kPageBytes = 4096;
inline constexpr uint64_t kMinSpoolBytes = uint64_t{4} << 20;
inline constexpr size_t kCommitCapBytes = size_t{1} << 20;  // of records in one commit

struct Sizing {
  int64_t checkpoint_pages = 0;  // the WAL is copied back from here on
  int64_t wal_bytes =
      0;  // written once at start, then recycled: a growing WAL costs a journal commit per sync
  int64_t max_pages = 0;  // of the database: max_page_count
  int64_t insert_pages =
      0;  // up to here with segments; the rest is for quarantine, fates and cursors
  int64_t chunk_bytes = 0;   // the database file grows in these steps
  uint64_t spare_bytes = 0;  // what an empty generation made beforehand takes; 0: there is none

  uint64_t max_record_bytes() const {
    return std::min<uint64_t>(uint64_t{32} << 20,
                              static_cast<uint64_t>(insert_pages * kPageBytes / 4));
  }
};

// Below this a spare would take too much of the whole; a roll then makes its file when it happens.
inline constexpr uint64_t kSpareFromBytes = uint64_t{128} << 20;
inline constexpr int64_t kSpareChunkBytes = 1 << 20;

// `max_size_bytes` at least kMinSpoolBytes. `others_bytes`: of files beside the active generation
// and the spare. However much they are, the active one gets the room a spare is made with.
inline Sizing sizing_for(uint64_t max_size_bytes, uint64_t others_bytes = 0) {
  constexpr int64_t kMiB = 1 << 20;
  constexpr int64_t kFrameBytes = kPageBytes + 24;
  Sizing sizing;
  const auto pages =
      static_cast<int64_t>(std::min<uint64_t>(max_size_bytes, uint64_t{1} << 43)) / kPageBytes;
  sizing.checkpoint_pages = std::clamp<int64_t>(pages / 16, 64, 4000);
  // One commit of records may follow before the checkpoint, with its tree and pointer-map pages.
  sizing.wal_bytes =
      (sizing.checkpoint_pages + int64_t{kCommitCapBytes} / kPageBytes + 64) * kFrameBytes;
  if (max_size_bytes >= kSpareFromBytes)
    sizing.spare_bytes = static_cast<uint64_t>(sizing.wal_bytes + kSpareChunkBytes);
  const auto others = static_cast<int64_t>(std::min<uint64_t>(others_bytes, uint64_t{1} << 43));
  const int64_t left = std::max(kSpareChunkBytes, pages * kPageBytes - sizing.wal_bytes - others -
                                                      static_cast<int64_t>(sizing.spare_bytes));
  sizing.chunk_bytes = std::clamp<int64_t>(left / 8 / kMiB, 1, 64) * kMiB;
  sizing.max_pages = left / sizing.chunk_bytes * sizing.chunk_bytes / kPageBytes;
  sizing.insert_pages = sizing.max_pages - std::max<int64_t>(64, sizing.max_pages / 64);
  return sizing;
}

// How a spare is made: the smallest file that can take a few commits.
inline Sizing spare_sizing(uint64_t max_size_bytes) {
  Sizing sizing = sizing_for(max_size_bytes);
  sizing.chunk_bytes = kSpareChunkBytes;
  return sizing;
}

}  // namespace penstock::spool
