// The quarantine and the fates that a kept file (kept_files.h) alone has: it was set aside before
// they were copied. Only tables that can be read to the end are asked.
//
// A row counts where the lanes do not know better: for a record that is counted as damaged, for one
// that is nowhere, and behind the cursor while the lane counts more records as quarantined than it
// has: what was replayed from a copy must not come back. Numbers that newer files gave out again,
// after a commit that failed, are theirs.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "agent/spool/offline_ledger.h"

namespace penstock::spool {

class KeptRows {
 public:
  // `files`: all of the spool in `dir`, kept ones from `first_kept` on.
  KeptRows(const std::filesystem::path& dir, const std::vector<OfflineFile>& files,
           size_t first_kept);

  // Into the accounts of lanes of the same name.
  void give_to(std::map<LaneId, OfflineLane>& lanes) const;

 private:
  struct Begins {
    std::map<LaneId, std::pair<LaneKey, Seq>> lanes;  // the first number of each in this file
    std::set<uint32_t> epochs;
  };
  struct Rows {  // of a lane
    LaneKey key;
    Seq end = 1;  // from here on its numbers are not this file's
    std::vector<StoredQuarantine> quarantine;
    std::vector<FoundFate> fates;
  };
  static Begins begins_of(const OfflineFile& file);
  Seq end_of(size_t file, LaneId lane) const;
  void read(const OfflineFile& file, uint32_t index, const std::map<LaneId, Seq>* ends);

  std::vector<Begins> begins_;  // of each file
  std::vector<std::pair<LaneId, Rows>> rows_;
};

}  // namespace penstock::spool
