// Writes rows into a spool that no agent runs on: through the same store as the agent, so with the
// same format, settings and syncs. For import and repair, which hold the lock.
//
// Rows are collected and go in transactions of about a megabyte. One thread.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/spool/offline_rows.h"
#include "agent/spool/rows.h"
#include "agent/spool/store.h"

namespace penstock::spool {

// What an epoch that came with an import says instead of a machine id: no agent continues it.
inline constexpr std::string_view kImportedMachine = "imported";

class OfflineWriter {
 public:
  // Opens or makes generation `number`; its file may grow to about `max_bytes`.
  static Result<OfflineWriter> open(const std::filesystem::path& dir, uint32_t number,
                                    uint64_t max_bytes, const Log& log);

  void add_epoch(const FoundEpoch& epoch);
  void add_segment(const SegmentHeader& header, std::string_view run);
  void add_stored_segment(const SegmentHeader& header, std::string stored);
  // Of the segments that are added from now on; ascending in time.
  void add_mark(ClockMark mark);
  void add_quarantine(QuarantineRow row);
  void release(LaneId lane, Seq seq);  // out of the quarantine
  void add_fate(FateRow row);
  // What fate the number has so far; one that is added counts in its place.
  void remove_fate(LaneId lane, Seq seq);
  void set_lane(LaneRow row);  // goes with the next transaction, or later with commit()
  size_t waiting_bytes() const { return waiting_bytes_; }

  // What was added so far is on disk on return. kFull: the disk is.
  Result<void> commit();

 private:
  OfflineWriter(Store store, int64_t next_id) : store_(std::move(store)), next_id_(next_id) {}

  Store store_;
  int64_t next_id_;
  SegmentCodec codec_;
  Transaction waiting_;
  size_t waiting_bytes_ = 0;
};

}  // namespace penstock::spool
