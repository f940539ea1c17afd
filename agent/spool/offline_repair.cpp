#include "agent/spool/offline_repair.h"

#include <algorithm>
#include <optional>
#include <random>
#include <set>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/base/varint.h"
#include "agent/spool/directory.h"
#include "agent/spool/lock_file.h"
#include "agent/spool/offline_copy.h"
#include "agent/spool/offline_kept_rows.h"
#include "agent/spool/offline_salvage.h"
#include "agent/spool/offline_writer.h"

namespace penstock::spool {
namespace {

constexpr size_t kCommitBytes = size_t{1} << 20;
constexpr char kLostRoute[] = "_lost";

class Repair {
 public:
  Repair(std::filesystem::path dir, std::vector<OfflineFile> generations,
         std::optional<LanesCopy> copy, int64_t wall_us)
      : dir_(std::move(dir)),
        generations_(std::move(generations)),
        copy_(std::move(copy)),
        wall_us_(wall_us) {}

  void collect();
  Result<void> write(OfflineWriter& writer);
  RepairAccount take_account() { return std::move(account_); }

 private:
  struct Part {
    SeqRange records;
    const StoredSegment* segment;
  };
  bool prove(StoredSegment& segment);
  // Rows without a checksum are taken from loose pages only where their table is broken.
  bool is_sound(uint32_t file, FoundTable table) const {
    return !rows_.broken.contains({file, table});
  }
  std::vector<Part> parts_of(const OfflineLane& lane, RepairedLane& out) const;
  void carve_file(uint32_t file);
  void take_kept();
  void salvage();
  void take_carved(uint32_t file, const RowPlace& place, FoundRow&& row);
  void take_copy();
  bool has_gone_back() const;
  void name_lost_lanes();
  void take_marks();
  size_t marks_before(const StoredSegment& segment) const;
  void write_epochs(OfflineWriter& writer);
  Result<void> write_parts(OfflineWriter& writer, std::vector<Part> parts);
  Result<void> write_lane(OfflineWriter& writer, const OfflineLane& lane, RepairedLane out);
  Result<void> write_late(OfflineWriter& writer, const LateLane& late);
  Result<void> write_segment(OfflineWriter& writer, const StoredSegment& segment, SeqRange wanted,
                             std::optional<LaneId> lane = {});
  Result<void> write_quarantine(OfflineWriter& writer, const OfflineLane& lane);
  Result<void> commit_if_due(OfflineWriter& writer) {
    return writer.waiting_bytes() < kCommitBytes ? Result<void>() : writer.commit();
  }

  const std::filesystem::path dir_;
  std::vector<OfflineFile> generations_;  // newest first; behind them files that were kept
  const std::optional<LanesCopy> copy_;   // of the file `lanes`
  const int64_t wall_us_;
  SegmentCodec codec_;
  FoundRows rows_;
  std::set<std::tuple<LaneId, Seq, uint32_t, uint32_t>> proven_;  // lane, first, count, epoch
  std::map<LaneId, OfflineLane> lanes_;
  std::vector<StoredSegment> overlaps_;
  std::vector<StoredSegment> sound_segments_;    // all there are
  std::vector<StoredSegment> kept_;              // of these, those in kept files
  std::map<uint32_t, Salvage::Source> sources_;  // by file
  std::vector<LateLane> late_;
  std::set<LaneId> lost_rows_;
  std::vector<ClockMark> marks_;  // ascending
  std::set<uint32_t> marked_;     // files whose segments they speak of
  RepairAccount account_;
};

// Reads the segment; its own header, which has a checksum, then stands for the columns, which have
// none.
bool Repair::prove(StoredSegment& segment) {
  auto stored = blob_at(generations_[segment.file].image(), segment.place, FoundTable::kSegment);
  auto decoded = stored ? codec_.parse(*stored) : Result<DecodedSegment>(stored.error());
  if (!decoded) return false;
  const auto& header = decoded->header;
  segment.lane = header.lane;
  segment.first = header.first;
  segment.count = header.count;
  segment.newest_us = header.newest_us;
  segment.epoch = header.epoch;
  segment.stored_bytes = stored->size();
  return true;
}

void Repair::collect() {
  rows_ = read_tables(generations_, account_.findings);
  account_.files.resize(generations_.size());
  std::set<uint32_t> damaged;
  for (uint32_t file = 0; file < generations_.size(); ++file) {
    account_.files[file].file = generations_[file].file();
    for (const auto& finding : account_.findings)
      if (finding.file == generations_[file].file()) damaged.insert(file);
  }
  std::vector<StoredSegment> sound;
  for (auto& segment : rows_.segments) {
    RepairedFile& file = account_.files[segment.file];
    if (prove(segment)) {
      ++file.from_tables;
      proven_.emplace(segment.lane, segment.first, segment.count, segment.epoch);
      sound.push_back(segment);
      continue;
    }
    ++file.unsound;
    damaged.insert(segment.file);
    account_.findings.push_back({file.file,
                                 segment.place.leaf.number,
                                 segment.lane,
                                 {segment.first, segment.last()},
                                 "the segment cannot be read",
                                 ""});
  }
  rows_.segments = std::move(sound);
  const bool all = has_gone_back();
  for (uint32_t file = 0; file < generations_.size(); ++file) {
    if (all || damaged.contains(file)) carve_file(file);
  }
  if (!all) take_marks();
  take_copy();
  const size_t first_kept = generations_.size();
  take_kept();
  name_lost_lanes();
  sound_segments_ = rows_.segments;
  lanes_ = make_lanes(rows_, overlaps_);
  KeptRows(dir_, generations_, first_kept).give_to(lanes_);
  salvage();
}

// Segments, and what lanes and epochs nobody else knows: the account is that of the others.
void Repair::take_kept() {
  for (auto& kept : open_kept(dir_)) {
    const auto file = static_cast<uint32_t>(generations_.size());
    generations_.push_back(std::move(kept));
    RepairedFile& out = account_.files.emplace_back();
    out.file = generations_[file].file();
    out.was_carved = true;
    out.pages = carve(generations_[file].image(), [&](const RowPlace& place, FoundRow&& row) {
      if (auto* epoch = std::get_if<FoundEpoch>(&row))
        rows_.epochs.emplace(epoch->id, std::move(*epoch));
      if (auto* lane = std::get_if<FoundLane>(&row)) {
        sources_[file].keys.emplace(lane->lane, lane->key);
        lane->file = file;
        rows_.lanes.emplace(lane->lane, std::move(*lane));
      }
      auto* found = std::get_if<FoundSegment>(&row);
      if (found == nullptr) return;
      StoredSegment segment{*found, file, place};
      if (!prove(segment)) return;
      if (!proven_.emplace(segment.lane, segment.first, segment.count, segment.epoch).second)
        return;
      ++account_.files[file].carved;
      kept_.push_back(segment);
    });
  }
  const auto is_lost = [this](const StoredSegment& one) { return !rows_.lanes.contains(one.lane); };
  std::copy_if(kept_.begin(), kept_.end(), std::back_inserter(rows_.segments), is_lost);
  std::erase_if(kept_, is_lost);
}

void Repair::salvage() {
  for (uint32_t file = 0; file < generations_.size(); ++file) {
    auto& source = sources_[file];
    source.parked = read_parked_mark(dir_, generations_[file].number());
    std::vector<Finding> known;
    const OfflineFile::Take take = [&source](const RowPlace&, FoundRow&& row) {
      const auto* lane = std::get_if<FoundLane>(&row);
      if (lane != nullptr) source.keys.emplace(lane->lane, lane->key);
    };
    generations_[file].rows(FoundTable::kLane, take, known);
  }
  Salvage salvage(lanes_, rows_.epochs);
  for (const auto* segments : {&sound_segments_, &kept_}) {
    for (const auto& segment : *segments) {
      salvage.offer(segment, sources_[segment.file]);
    }
  }
  for (const auto& segment : kept_) {
    if (salvage.is_wanted_ahead(segment)) overlaps_.push_back(segment);
  }
  late_ = salvage.settle();
}

void Repair::carve_file(uint32_t file) {
  RepairedFile& out = account_.files[file];
  out.was_carved = true;
  out.pages = carve(generations_[file].image(), [&](const RowPlace& place, FoundRow&& row) {
    take_carved(file, place, std::move(row));
  });
}

// What the tables gave comes first. Of the other rows only segments prove themselves; cursors only
// ever rise, so the highest one found is the safe one.
void Repair::take_carved(uint32_t file, const RowPlace& place, FoundRow&& row) {
  if (auto* found = std::get_if<FoundSegment>(&row)) {
    StoredSegment segment{*found, file, place};
    if (!prove(segment)) return;
    if (!proven_.emplace(segment.lane, segment.first, segment.count, segment.epoch).second) return;
    ++account_.files[file].carved;
    rows_.segments.push_back(segment);
  } else if (auto* lane = std::get_if<FoundLane>(&row)) {
    if (is_sound(file, FoundTable::kLane)) return;
    lane->file = file;
    const auto [it, is_new] = rows_.lanes.emplace(lane->lane, *lane);
    if (!is_new && lane->cursor > it->second.cursor) {
      it->second.cursor = lane->cursor;
      it->second.counts = lane->counts;
    }
    it->second.next_seq = std::max(it->second.next_seq, lane->next_seq);
  } else if (auto* epoch = std::get_if<FoundEpoch>(&row)) {
    if (!is_sound(file, FoundTable::kEpoch)) rows_.epochs.emplace(epoch->id, std::move(*epoch));
  } else if (auto* quarantined = std::get_if<FoundQuarantine>(&row)) {
    if (!is_sound(file, FoundTable::kQuarantine))
      rows_.quarantine.push_back({std::move(*quarantined), file, place});
  } else if (auto* fate = std::get_if<FoundFate>(&row)) {
    if (!is_sound(file, FoundTable::kFate)) rows_.fates.push_back(std::move(*fate));
  }
}

// Do the tables end a lane before the copy does? Then what came after is nowhere but on loose
// pages, although every table is sound.
bool Repair::has_gone_back() const {
  if (!copy_) return false;
  const auto next = next_numbers(rows_);
  return std::any_of(copy_->lanes.begin(), copy_->lanes.end(), [&next](const LaneRow& row) {
    const auto found = next.find(row.lane);
    return row.next_seq > (found == next.end() ? Seq{1} : found->second);
  });
}

// What the tables have lost of lanes and epochs, as it was some seconds before.
void Repair::take_copy() {
  if (!copy_) return;
  take_lanes(rows_, *copy_, [](const FoundLane&) { return true; });
  take_epochs(rows_, *copy_);
}

// Records whose lane has lost its row, here and in the copy: nobody knows their route any more, nor
// how far they were delivered; what is before the first of them is taken to be.
void Repair::name_lost_lanes() {
  std::map<LaneId, Seq> first;  // of the lane's records that wait
  const auto note = [&](LaneId lane, Seq seq) {
    if (lane == kUnroutedLane || rows_.lanes.contains(lane)) return;
    const auto [it, is_new] = first.emplace(lane, seq);
    if (!is_new) it->second = std::min(it->second, seq);
  };
  for (const auto& segment : rows_.segments) note(segment.lane, segment.first);
  for (const auto& record : rows_.quarantine) note(record.lane, record.seq);
  for (const auto& fate : rows_.fates) note(fate.lane, fate.range.first);
  for (const auto& [lane, seq] : first) {
    lost_rows_.insert(lane);
    rows_.lanes.emplace(
        lane, FoundLane{lane, {kLostRoute, fmt::format("lane_{}", lane)}, seq - 1, seq, {}, {}, 0});
  }
}

Result<void> Repair::write(OfflineWriter& writer) {
  write_epochs(writer);
  for (const auto& late : late_) {
    if (auto done = write_late(writer, late); !done) return done;
  }
  const auto late = static_cast<ptrdiff_t>(account_.lanes.size());
  std::vector<RepairedLane> lanes;
  std::vector<Part> parts;
  for (const auto& [id, lane] : lanes_) {
    lanes.push_back({id, lane.key, !lost_rows_.contains(id), 0, 0, 0, {}});
    const auto more = parts_of(lane, lanes.back());
    parts.insert(parts.end(), more.begin(), more.end());
  }
  if (auto done = write_parts(writer, std::move(parts)); !done) return done;
  auto out = lanes.begin();
  for (const auto& [id, lane] : lanes_) {
    if (auto done = write_lane(writer, lane, std::move(*out++)); !done) return done;
  }
  std::rotate(account_.lanes.begin(), account_.lanes.begin() + late, account_.lanes.end());
  return writer.commit();
}

// Of the newest file that has any: a file begins with those of the one before. Where it cannot be
// told which segments they speak of, there are none, and nothing expires: of a file that has gone
// back in time newer marks may be lost.
void Repair::take_marks() {
  for (uint32_t file = 0; file < generations_.size(); ++file) {
    std::vector<ClockMark> marks;
    std::vector<Finding> findings;
    const OfflineFile::Take take = [&marks](const RowPlace&, FoundRow&& row) {
      if (auto* mark = std::get_if<ClockMark>(&row)) marks.push_back(std::move(*mark));
    };
    const bool whole = generations_[file].rows(FoundTable::kClock, take, findings) &&
                       findings.empty() && is_sound(file, FoundTable::kEpoch) &&
                       !read_parked_mark(dir_, generations_[file].number());
    if (!whole && marks_.empty()) return;
    if (marks_.empty()) marks_ = std::move(marks);
    if (whole && !marks_.empty()) marked_.insert(file);
  }
}

// How many marks are of the segment's time or before; 0: its age is not known.
size_t Repair::marks_before(const StoredSegment& segment) const {
  if (!marked_.contains(segment.file) || segment.place.leaf.from == PageFrom::kFrame) return 0;
  const auto after =
      std::upper_bound(marks_.begin(), marks_.end(), segment.id,
                       [](int64_t id, const ClockMark& mark) { return id < mark.first_segment; });
  return static_cast<size_t>(after - marks_.begin());
}

// In the order of their numbers, which is that in time; first those no mark must speak of.
Result<void> Repair::write_parts(OfflineWriter& writer, std::vector<Part> parts) {
  const auto order = [this](const Part& part) {
    return marks_before(*part.segment) == 0 ? 0 : part.segment->id;
  };
  std::stable_sort(parts.begin(), parts.end(),
                   [&](const Part& a, const Part& b) { return order(a) < order(b); });
  size_t told = 0;
  for (const Part& part : parts) {
    for (const size_t until = marks_before(*part.segment); told < until; ++told)
      writer.add_mark(marks_[told]);
    if (auto done = write_segment(writer, *part.segment, part.records); !done) return done;
    if (auto done = commit_if_due(writer); !done) return done;
  }
  return {};
}

void Repair::write_epochs(OfflineWriter& writer) {
  FoundEpoch next;
  for (const auto& [id, epoch] : rows_.epochs) {
    writer.add_epoch(epoch);
    next = epoch;
  }
  for (const auto& segment : rows_.segments) next.id = std::max(next.id, segment.epoch);
  ++next.id;
  std::random_device device;
  next.name = fmt::format("{:016x}", uint64_t{device()} << 32 | device());
  next.started_us = wall_us_;
  writer.add_epoch(next);
}

// Which records of which segment are to be kept: those of the tables first, then what others add.
std::vector<Repair::Part> Repair::parts_of(const OfflineLane& lane, RepairedLane& out) const {
  std::vector<Part> parts;
  SeqRanges kept;
  const auto take = [&](const StoredSegment& segment) {
    const SeqRange ahead{std::max(segment.first, lane.cursor + 1), segment.last()};
    if (!ahead.empty() && lane.decided.missing_in(ahead).empty()) return;
    out.passed += SeqRange{segment.first, std::min(segment.last(), lane.cursor)}.size();
    for (const auto& part : kept.missing_in(ahead)) {
      kept.add(part);
      // Whole where possible: the agent passes what is behind the cursor or decided by itself.
      const bool whole = part == ahead;
      parts.push_back({whole ? SeqRange{segment.first, segment.last()} : part, &segment});
    }
  };
  for (const auto& segment : lane.segments) take(segment);
  for (const auto& segment : overlaps_) {
    if (segment.lane == lane.id) take(segment);
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.records.first < b.records.first; });
  for (const auto& part : lane.decided.missing_in({lane.cursor + 1, lane.next_seq - 1})) {
    out.kept += part.size();
    for (const auto& rest : kept.missing_in(part)) {
      out.lost.push_back(rest);
      out.kept -= rest.size();
    }
  }
  return parts;
}

// All of it but its segments.
Result<void> Repair::write_lane(OfflineWriter& writer, const OfflineLane& lane, RepairedLane out) {
  if (auto done = write_quarantine(writer, lane); !done) return done;
  for (const auto& fate : lane.fates) {
    writer.add_fate(
        {lane.id, fate.range, static_cast<FateKind>(fate.kind), fate.at_us, fate.reason});
  }
  for (const auto& range : out.lost)
    writer.add_fate({lane.id, range, FateKind::kDamaged, wall_us_, "not found by repair"});
  out.quarantined = lane.quarantine.size();
  writer.set_lane({lane.id, lane.key, lane.cursor, lane.next_seq, lane.behind, 1, lane.refused,
                   lane.quarantine_bytes()});
  if (lane.next_seq > 1) account_.lanes.push_back(std::move(out));
  return commit_if_due(writer);
}

// Numbers between them are the business of the lane they left.
Result<void> Repair::write_late(OfflineWriter& writer, const LateLane& late) {
  RepairedLane out{late.id, late.key, true, 0, 0, 0, {}};
  const Seq first = late.parts.front().first.first;
  Seq next = first;
  for (const auto& [range, segment] : late.parts) {
    if (range.first > next) {
      writer.add_fate({late.id,
                       {next, range.first - 1},
                       FateKind::kDiscarded,
                       wall_us_,
                       "not among the records that were found again"});
    }
    if (auto done = write_segment(writer, *segment, range, late.id); !done) return done;
    next = range.last + 1;
    out.kept += range.size();
    if (auto done = commit_if_due(writer); !done) return done;
  }
  writer.set_lane({late.id, late.key, first - 1, next, {}, 1, 0, 0});
  account_.lanes.push_back(std::move(out));
  return commit_if_due(writer);
}

// `lane`: other than the one it was in.
Result<void> Repair::write_segment(OfflineWriter& writer, const StoredSegment& segment,
                                   SeqRange wanted, std::optional<LaneId> lane) {
  auto stored = blob_at(generations_[segment.file].image(), segment.place, FoundTable::kSegment);
  if (!stored) return std::move(stored).error();
  auto decoded = codec_.parse(*stored);
  if (!decoded) return std::move(decoded).error();
  SegmentHeader header = decoded->header;
  ++account_.segments;
  if (!lane && wanted.first == segment.first && wanted.last == segment.last()) {
    writer.add_stored_segment(header, *std::move(stored));
    return {};
  }
  std::string run;
  std::string_view rest = decoded->run;
  for (Seq seq = segment.first; seq <= wanted.last; ++seq) {
    const auto body = take_bytes(rest);
    if (body && seq >= wanted.first) append_bytes(*body, run);
  }
  header.lane = lane.value_or(header.lane);
  header.first = wanted.first;
  header.count = static_cast<uint32_t>(wanted.size());
  writer.add_segment(header, run);
  return {};
}

Result<void> Repair::write_quarantine(OfflineWriter& writer, const OfflineLane& lane) {
  for (const auto& record : lane.quarantine) {
    QuarantineRow row{lane.id, record.seq, record.epoch, record.at_us, record.reason, {}};
    auto body = blob_at(generations_[record.file].image(), record.place, FoundTable::kQuarantine);
    if (body) {
      row.record = *std::move(body);
    } else {
      row.reason += " (its bytes were destroyed: " + body.error().what + ")";
    }
    writer.add_quarantine(std::move(row));
    if (auto done = commit_if_due(writer); !done) return done;
  }
  return {};
}

}  // namespace

Result<RepairAccount> repair_spool(const std::filesystem::path& from,
                                   const std::filesystem::path& into, const Log& log) {
  std::vector<Finding> newer;
  auto generations = open_generations(from, &newer);
  if (!generations) return std::move(generations).error();
  uint64_t bytes = 0;
  for (const auto& generation : *generations) bytes += generation.file_bytes();
  if (auto made = make_directory(into); !made) return std::move(made).error();
  std::error_code error;
  if (!std::filesystem::is_empty(into, error) || error) {
    return Error{ErrorKind::kDenied, into.string() + " is not empty; name a new directory", {}};
  }
  auto lock = LockFile::take_idle(into / "LOCK");
  if (!lock) return std::move(lock).error();
  Repair repair(from, std::move(*generations), LanesFile(from).read(), read_clock().wall_us);
  repair.collect();
  auto writer = OfflineWriter::open(into, 1, bytes, log);
  if (!writer) return std::move(writer).error();
  if (auto done = repair.write(*writer); !done) return std::move(done).error();
  auto account = repair.take_account();
  account.left_out = std::move(newer);
  return account;
}

}  // namespace penstock::spool
