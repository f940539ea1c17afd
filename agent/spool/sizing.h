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
  int64_t chunk_bytes = 0;  // the database file grows in these steps

  uint64_t max_record_bytes() const {
    return std::min<uint64_t>(uint64_t{32} << 20,
                              static_cast<uint64_t>(insert_pages * kPageBytes / 4));
  }
};

// `max_size_bytes` at least kMinSpoolBytes.
inline Sizing sizing_for(uint64_t max_size_bytes) {
  constexpr int64_t kMiB = 1 << 20;
  constexpr int64_t kFrameBytes = kPageBytes + 24;
  Sizing sizing;
  const auto pages =
      static_cast<int64_t>(std::min<uint64_t>(max_size_bytes, uint64_t{1} << 43)) / kPageBytes;
  sizing.checkpoint_pages = std::clamp<int64_t>(pages / 16, 64, 4000);
  // One commit of records may follow before the checkpoint, with its tree and pointer-map pages.
  sizing.wal_bytes =
      (sizing.checkpoint_pages + int64_t{kCommitCapBytes} / kPageBytes + 64) * kFrameBytes;
  const int64_t left = pages * kPageBytes - sizing.wal_bytes;
  sizing.chunk_bytes = std::clamp<int64_t>(left / 8 / kMiB, 1, 64) * kMiB;
  sizing.max_pages = left / sizing.chunk_bytes * sizing.chunk_bytes / kPageBytes;
  sizing.insert_pages = sizing.max_pages - std::max<int64_t>(64, sizing.max_pages / 64);
  return sizing;
}

}  // namespace penstock::spool
