// A spool at rest, read for tools: all its files, the lanes' accounts, and every record that is
// stored, in order.
//
// Never writes to the directory and never opens it with SQLite, so it works on a medium that is
// mounted read-only or damaged. Holds the spool's lock while it lives when the directory has a
// LOCK file, so a running agent is noticed and a starting one refused. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"
#include "agent/spool/lanes_file.h"
#include "agent/spool/lock_file.h"
#include "agent/spool/offline_epochs.h"
#include "agent/spool/offline_ledger.h"
#include "agent/spool/segment_format.h"

namespace penstock::spool {

enum class RecordState { kPending, kDelivered, kQuarantined };

struct OfflineRecord {
  LaneId lane = 0;
  Seq seq = 0;
  uint32_t epoch = 0;
  RecordState state = RecordState::kPending;
  std::string_view body;  // encode_record's byte form; may be cut in the quarantine
  const StoredQuarantine* quarantine = nullptr;
};

struct RecordFilter {
  std::optional<LaneId> lane;
  std::optional<std::string> table;
  Seq from = 1;
  bool delivered = false;  // also those behind the cursor that are still stored
  bool quarantine = false;
};

// The generations of `dir`, newest first; kDenied when it is no spool. One in a newer format is a
// finding in `newer` as long as another one can be read; null: it is an error.
Result<std::vector<OfflineFile>> open_generations(const std::filesystem::path& dir,
                                                  std::vector<Finding>* newer = nullptr);

// Files of `dir` that are no generation any more (kept_files.h), those that can be read.
std::vector<OfflineFile> open_kept(const std::filesystem::path& dir);

// The number of the file that takes commits, of `files` newest first: one that was made beforehand
// and never written to has no epoch yet.
uint32_t newest_in_use(const std::vector<OfflineFile>& files);

class OfflineSpool {
 public:
  // kDenied with what to do: no such directory, not a spool, in use (by whom), not permitted,
  // newer format. Damage is no error: see findings().
  static Result<OfflineSpool> open(const std::filesystem::path& dir);
  // The same, by the holder of its lock.
  static Result<OfflineSpool> open_locked(const std::filesystem::path& dir);

  const std::filesystem::path& dir() const { return dir_; }
  const std::vector<OfflineFile>& generations() const { return generations_; }  // newest first
  const FoundEpochs& epochs() const { return epochs_; }
  const std::map<LaneId, OfflineLane>& lanes() const { return lanes_; }
  const FoundEpoch* newest_epoch() const { return spool::newest_epoch(epochs_); }
  const OfflineLane* lane(LaneId id) const;
  // What the tables, their trees and the copy of the lanes have shown so far.
  const std::vector<Finding>& findings() const { return findings_; }

  // agent_id/epoch/lane under which the record was numbered; for an imported lane the one it came
  // with. Of an epoch that is lost, what the agent sends it under.
  std::string origin(const OfflineLane& lane, uint32_t epoch) const;
  // The lane whose records are numbered under `origin`; null: none of this spool.
  const OfflineLane* numbered_under(std::string_view origin) const;

  // The segment with its records; kCorrupt: it cannot be read, fails its checksum or is another's.
  Result<DecodedSegment> load(const StoredSegment& segment);
  Result<std::string> load(const StoredQuarantine& record) const;

  // Calls `take` for each record that passes, lane by lane in order of seq, until it returns
  // false. A segment that cannot be read is given to `lost` and left out.
  void for_each(
      const RecordFilter& filter, const std::function<bool(const OfflineRecord&)>& take,
      const std::function<void(const OfflineLane&, const StoredSegment&, const Error&)>& lost);

 private:
  OfflineSpool() = default;
  void read_rows();
  void take_copy(FoundRows& rows, const LanesCopy& copy);
  void compare_with_copy(const FoundRows& rows, const LanesCopy& copy, bool lacks_lanes);
  void note_unreadable(StoredQuarantine& record, const Error& error);
  bool lane_records(
      const OfflineLane& lane, const RecordFilter& filter,
      const std::function<bool(const OfflineRecord&)>& take,
      const std::function<void(const OfflineLane&, const StoredSegment&, const Error&)>& lost);

  std::filesystem::path dir_;
  std::optional<LockFile> lock_;
  std::vector<OfflineFile> generations_;
  FoundEpochs epochs_;
  std::map<LaneId, OfflineLane> lanes_;
  std::vector<Finding> findings_;
  SegmentCodec codec_;
};

// Reads all rows of `generations` by their tables; the newest file's word counts.
FoundRows read_tables(const std::vector<OfflineFile>& generations, std::vector<Finding>& findings);

}  // namespace penstock::spool
