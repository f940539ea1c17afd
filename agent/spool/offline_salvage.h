// Records that a spool counts as damaged, or does not count at all, and that were found all the
// same: in kept files, in a file that was parked once, or where a medium answers again.
//
// What a lane's cursor has not passed goes back to its lane. What it has passed cannot: it goes to
// a lane of its own, named as if imported (imported_lane.h), so that each record goes out under the
// name it was numbered under. The lane it left counts it as delivered, that is handed over. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent/spool/kept_files.h"
#include "agent/spool/offline_ledger.h"
#include "agent/spool/seq_ranges.h"

namespace penstock::spool {

// A lane that is made for them. Segments are not owned.
struct LateLane {
  LaneId id = 0;
  LaneKey key;
  std::vector<std::pair<SeqRange, const StoredSegment*>> parts;  // ascending, no record twice
};

class Salvage {
 public:
  Salvage(std::map<LaneId, OfflineLane>& lanes, const std::map<uint32_t, FoundEpoch>& epochs);

  // What a file says of itself.
  struct Source {
    std::optional<ParkedMark> parked = {};  // it once was
    std::map<LaneId, LaneKey> keys = {};    // a lane it began alone may have its number again
  };
  // A sound segment, wherever it was.
  void offer(const StoredSegment& segment, const Source& source);
  // True: records of it belong to its lane again.
  bool is_wanted_ahead(const StoredSegment& segment) const;
  // Changes the lanes' accounts; the last call.
  std::vector<LateLane> settle();

 private:
  void take_late(const StoredSegment& segment, SeqRange range, const LaneKey& key);
  LaneKey key_of(LaneId lane, uint32_t epoch, const LaneKey& key) const;

  std::map<LaneId, OfflineLane>& lanes_;
  const std::map<uint32_t, FoundEpoch>& epochs_;
  std::map<LaneId, SeqRanges> damaged_;
  std::map<LaneId, SeqRanges> found_;  // of these
  struct Late {
    LaneKey key;  // of the lane they were in
    SeqRanges taken;
    std::vector<std::pair<SeqRange, const StoredSegment*>> parts;
  };
  std::map<std::pair<LaneId, uint32_t>, Late> late_;  // by lane and epoch
};

}  // namespace penstock::spool
