#include "agent/spool/offline_kept_rows.h"

#include <algorithm>
#include <utility>

#include "agent/spool/kept_files.h"

namespace penstock::spool {
namespace {

constexpr Seq kNoEnd = ~Seq{0};

// Calls `take` for the rows of `table`; false when there may be more than these.
bool read_whole(const OfflineFile& file, FoundTable table, const OfflineFile::Take& take) {
  std::vector<Finding> findings;
  return file.rows(table, take, findings) && findings.empty();
}

std::vector<SeqRange> common(const SeqRanges& set, SeqRange range) {
  SeqRanges others;
  for (const auto& part : set.missing_in(range)) others.add(part);
  return others.missing_in(range);
}

uint64_t& count_of(FateCounts& counts, int64_t kind) {
  if (kind == static_cast<int64_t>(FateKind::kQuarantined)) return counts.quarantined;
  return kind == static_cast<int64_t>(FateKind::kDiscarded) ? counts.discarded : counts.dropped;
}

// What a lane says of its records, and what it takes from a kept file.
class Taking {
 public:
  explicit Taking(OfflineLane& lane) : lane_(lane) {
    uint64_t behind = 0;
    for (const auto& record : lane.quarantine) {
      known_.add({record.seq, record.seq});
      behind += record.seq <= lane.cursor ? 1 : 0;
    }
    for (const auto& fate : lane.fates)
      (fate.kind == static_cast<int64_t>(FateKind::kDamaged) ? damaged_ : known_).add(fate.range);
    lacks_quarantined_ = lane.behind.quarantined > behind;
  }

  void take(const StoredQuarantine& record);
  void take(const FoundFate& fate);
  void finish();

 private:
  void settle(SeqRange part, int64_t kind, bool is_age);
  void add_fate(const FoundFate& fate, SeqRange part);

  OfflineLane& lane_;
  SeqRanges known_;    // for good
  SeqRanges damaged_;  // as it seemed
  SeqRanges found_;    // of these
  FateCounts counts_;  // of these, behind the cursor
  bool lacks_quarantined_ = false;
  std::vector<StoredQuarantine> quarantine_;
  std::vector<FoundFate> fates_;
};

// `part` is of damaged ones.
void Taking::settle(SeqRange part, int64_t kind, bool is_age) {
  found_.add(part);
  const uint64_t behind = SeqRange{part.first, std::min(part.last, lane_.cursor)}.size();
  count_of(counts_, kind) += behind;
  if (is_age) counts_.dropped_age += behind;
}

void Taking::take(const StoredQuarantine& record) {
  if (known_.contains(record.seq) || record.seq > lane_.committed()) return;
  if (damaged_.contains(record.seq)) {
    settle({record.seq, record.seq}, static_cast<int64_t>(FateKind::kQuarantined), false);
  } else if (record.seq <= lane_.cursor ? !lacks_quarantined_ : lane_.stored.contains(record.seq)) {
    return;
  }
  known_.add({record.seq, record.seq});
  quarantine_.push_back(record);
}

void Taking::add_fate(const FoundFate& fate, SeqRange part) {
  if (part.empty()) return;
  known_.add(part);
  fates_.push_back({fate.lane, part, fate.kind, fate.at_us, fate.reason});
}

void Taking::take(const FoundFate& fate) {
  const SeqRange range{fate.range.first, std::min(fate.range.last, lane_.committed())};
  for (const auto& part : known_.missing_in(range)) {
    for (const auto& undecided : damaged_.missing_in(part)) {
      add_fate(fate, {undecided.first, std::min(undecided.last, lane_.cursor)});
      const SeqRange ahead{std::max(undecided.first, lane_.cursor + 1), undecided.last};
      for (const auto& nowhere : lane_.stored.missing_in(ahead)) add_fate(fate, nowhere);
    }
    if (fate.kind == static_cast<int64_t>(FateKind::kDamaged)) continue;
    for (const auto& lost : common(damaged_, part)) {
      settle(lost, fate.kind,
             fate.kind == static_cast<int64_t>(FateKind::kDroppedOverflow) &&
                 fate.reason == kAgeReason);
      add_fate(fate, lost);
    }
  }
}

void Taking::finish() {
  forget_damage(lane_, found_);
  lane_.behind.quarantined += counts_.quarantined;
  lane_.behind.discarded += counts_.discarded;
  lane_.behind.dropped += counts_.dropped;
  lane_.behind.dropped_age += counts_.dropped_age;
  for (auto& record : quarantine_) {
    lane_.decided.add({record.seq, record.seq});
    lane_.quarantine.push_back(std::move(record));
  }
  for (auto& fate : fates_) {
    lane_.decided.add(fate.range);
    lane_.fates.push_back(std::move(fate));
  }
  std::sort(lane_.quarantine.begin(), lane_.quarantine.end(),
            [](const auto& a, const auto& b) { return a.seq < b.seq; });
  std::sort(lane_.fates.begin(), lane_.fates.end(),
            [](const auto& a, const auto& b) { return a.range.first < b.range.first; });
}

}  // namespace

KeptRows::KeptRows(const std::filesystem::path& dir, const std::vector<OfflineFile>& files,
                   size_t first_kept) {
  if (first_kept == files.size()) return;
  for (const auto& file : files) begins_.push_back(begins_of(file));
  for (size_t file = first_kept; file < files.size(); ++file) {
    const auto mark = read_parked_mark(dir, files[file].number());
    read(files[file], static_cast<uint32_t>(file), mark ? &mark->ends : nullptr);
  }
}

KeptRows::Begins KeptRows::begins_of(const OfflineFile& file) {
  Begins out;
  const bool whole = read_whole(file, FoundTable::kLane, [&out](const RowPlace&, FoundRow&& row) {
    if (auto* lane = std::get_if<FoundLane>(&row); lane != nullptr && lane->first_seq)
      out.lanes.emplace(lane->lane, std::pair(lane->key, *lane->first_seq));
  });
  if (!whole) out.lanes.clear();
  (void)read_whole(file, FoundTable::kEpoch, [&out](const RowPlace&, FoundRow&& row) {
    if (const auto* epoch = std::get_if<FoundEpoch>(&row)) out.epochs.insert(epoch->id);
  });
  return out;
}

// The first number of the lane that is not the file's: newer files begin it later, or where it
// does, with more epochs.
Seq KeptRows::end_of(size_t file, LaneId lane) const {
  const auto& [key, begin] = begins_[file].lanes.at(lane);
  const auto& epochs = begins_[file].epochs;
  Seq end = kNoEnd;
  for (size_t i = 0; i < begins_.size(); ++i) {
    const auto other = begins_[i].lanes.find(lane);
    if (i == file || other == begins_[i].lanes.end() || other->second.first != key) continue;
    const Seq begins = other->second.second;
    const bool is_older =
        begins < begin ||
        (begins == begin && std::includes(epochs.begin(), epochs.end(), begins_[i].epochs.begin(),
                                          begins_[i].epochs.end()));
    if (!is_older) end = std::min(end, begins);
  }
  return end;
}

void KeptRows::read(const OfflineFile& file, uint32_t index, const std::map<LaneId, Seq>* ends) {
  std::map<LaneId, Rows> lanes;
  for (const auto& [lane, begin] : begins_[index].lanes) {
    Rows& rows = lanes[lane];
    rows.key = begin.first;
    rows.end = end_of(index, lane);
    if (ends == nullptr) continue;
    const auto parked = ends->find(lane);
    rows.end = parked == ends->end() ? 1 : std::min(rows.end, parked->second);
  }
  std::vector<StoredQuarantine> quarantine;
  std::vector<FoundFate> fates;
  const OfflineFile::Take take = [&](const RowPlace& place, FoundRow&& row) {
    if (auto* record = std::get_if<FoundQuarantine>(&row))
      quarantine.push_back({std::move(*record), index, place});
    if (auto* fate = std::get_if<FoundFate>(&row)) fates.push_back(std::move(*fate));
  };
  if (!read_whole(file, FoundTable::kQuarantine, take)) quarantine.clear();
  if (!read_whole(file, FoundTable::kFate, take)) fates.clear();
  for (auto& record : quarantine) {
    const auto lane = lanes.find(record.lane);
    if (lane != lanes.end() && record.seq < lane->second.end)
      lane->second.quarantine.push_back(std::move(record));
  }
  for (auto& fate : fates) {
    const auto lane = lanes.find(fate.lane);
    if (lane == lanes.end() || fate.range.first >= lane->second.end) continue;
    fate.range.last = std::min(fate.range.last, lane->second.end - 1);
    lane->second.fates.push_back(std::move(fate));
  }
  for (auto& [lane, rows] : lanes) rows_.emplace_back(lane, std::move(rows));
}

void KeptRows::give_to(std::map<LaneId, OfflineLane>& lanes) const {
  for (const auto& [id, rows] : rows_) {
    const auto lane = lanes.find(id);
    if (lane == lanes.end() || lane->second.key != rows.key) continue;
    Taking taking(lane->second);
    for (const auto& record : rows.quarantine) taking.take(record);
    for (const auto& fate : rows.fates) taking.take(fate);
    taking.finish();
  }
}

}  // namespace penstock::spool
