#include "agent/spool/offline_reader.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "agent/base/varint.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/kept_files.h"
#include "agent/spool/offline_copy.h"
#include "agent/spool/offline_writer.h"
#include "agent/spool/repair_places.h"

namespace penstock::spool {
namespace {

Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

// "12.db" -> 12; 0 for every other name.
uint32_t generation_number(const std::filesystem::path& file) {
  const std::string stem = file.stem().string();
  if (file.extension() != ".db" || stem.empty() || stem.size() > 9 || stem[0] == '0') return 0;
  if (stem.find_first_not_of("0123456789") != std::string::npos) return 0;
  return static_cast<uint32_t>(std::stoul(stem));
}

// Newest first.
std::vector<OfflineFile> open_lost_logs(const std::filesystem::path& dir) {
  std::vector<OfflineFile> files;
  const auto logs = list_lost_logs(dir);
  for (auto it = logs.rbegin(); it != logs.rend(); ++it) {
    if (auto file = OfflineFile::open_log(it->second, it->first)) files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace

Result<std::vector<OfflineFile>> open_generations(const std::filesystem::path& dir,
                                                  std::vector<Finding>* newer) {
  std::error_code error;
  std::map<uint32_t, std::filesystem::path, std::greater<>> files;
  if (auto ended = check_repair_ended(dir); !ended) return std::move(ended).error();
  const auto status = std::filesystem::status(dir, error);
  if (status.type() == std::filesystem::file_type::not_found)
    return denied(dir.string() + ": there is no such directory");
  if (!error && !std::filesystem::is_directory(status))
    return denied(dir.string() + " is a file; name the directory that holds it");
  for (std::filesystem::directory_iterator it(dir, error), end; !error && it != end;
       it.increment(error)) {
    if (const uint32_t number = generation_number(it->path()); number != 0)
      files.emplace(number, it->path());
  }
  if (error)
    return denied(fmt::format("{} cannot be read: {}; run as root or as the agent's user",
                              dir.string(), error.message()));
  std::vector<OfflineFile> generations;
  if (files.empty()) generations = open_lost_logs(dir);
  if (files.empty() && generations.empty())
    return denied(dir.string() +
                  " is not a spool: there is no file like 1.db in it; name the directory that "
                  "spool.dir names in the configuration");
  for (const auto& [number, file] : files) {
    auto generation = OfflineFile::open(file, number);
    if (generation) {
      generations.push_back(std::move(*generation));
      continue;
    }
    if (generation.error().kind != ErrorKind::kRejected || newer == nullptr)
      return denied(std::move(generation).error().what);
    newer->push_back({file, {}, {}, {}, generation.error().what, "its records are not seen here"});
  }
  if (generations.empty()) return denied(newer->front().what);
  return generations;
}

std::vector<OfflineFile> open_kept(const std::filesystem::path& dir) {
  std::vector<OfflineFile> files;
  for (const auto& kept : list_kept(dir)) {
    if (auto file = OfflineFile::open(kept_file(dir, kept), kept.number))
      files.push_back(std::move(*file));
  }
  for (auto& file : open_lost_logs(dir)) files.push_back(std::move(file));
  return files;
}

uint32_t newest_in_use(const std::vector<OfflineFile>& files) {
  for (const auto& file : files) {
    bool used = false;
    std::vector<Finding> findings;
    const OfflineFile::Take note = [&used](const RowPlace&, FoundRow&&) { used = true; };
    file.rows(FoundTable::kEpoch, note, findings);
    if (used) return file.number();
  }
  return files.back().number();
}

FoundRows read_tables(const std::vector<OfflineFile>& generations, std::vector<Finding>& findings) {
  FoundRows out;
  for (uint32_t file = 0; file < generations.size(); ++file) {
    const OfflineFile& generation = generations[file];
    const OfflineFile::Take take = [&](const RowPlace& place, FoundRow&& row) {
      if (auto* epoch = std::get_if<FoundEpoch>(&row)) {
        out.epochs.emplace(epoch->id, std::move(*epoch));
      } else if (auto* lane = std::get_if<FoundLane>(&row)) {
        lane->file = file;
        out.lanes.emplace(lane->lane, std::move(*lane));
      } else if (auto* segment = std::get_if<FoundSegment>(&row)) {
        out.segments.push_back({*segment, file, place});
      } else if (auto* quarantined = std::get_if<FoundQuarantine>(&row)) {
        out.quarantine.push_back({std::move(*quarantined), file, place});
      } else if (auto* fate = std::get_if<FoundFate>(&row)) {
        out.fates.push_back(std::move(*fate));
      }
    };
    for (const auto table : {FoundTable::kEpoch, FoundTable::kLane, FoundTable::kSegment,
                             FoundTable::kQuarantine, FoundTable::kFate}) {
      const size_t before = findings.size();
      if (!generation.rows(table, take, findings) || findings.size() > before)
        out.broken.emplace(file, table);
    }
  }
  return out;
}

Result<OfflineSpool> OfflineSpool::open(const std::filesystem::path& dir) {
  auto lock = LockFile::take_existing(dir / "LOCK");
  if (!lock) return std::move(lock).error();
  auto spool = open_locked(dir);
  if (spool) spool->lock_ = std::move(*lock);
  return spool;
}

Result<OfflineSpool> OfflineSpool::open_locked(const std::filesystem::path& dir) {
  OfflineSpool spool;
  auto generations = open_generations(dir, &spool.findings_);
  if (!generations) return std::move(generations).error();
  spool.dir_ = dir;
  spool.generations_ = std::move(*generations);
  spool.read_rows();
  return spool;
}

void OfflineSpool::read_rows() {
  FoundRows rows = read_tables(generations_, findings_);
  if (const auto copy = LanesFile(dir_).read()) take_copy(rows, *copy);
  std::vector<StoredSegment> overlaps;
  lanes_ = make_lanes(rows, overlaps);
  epochs_ = std::move(rows.epochs);
  for (const auto& segment : overlaps) {
    // Moved to a newer file while the old one was being emptied.
    const auto& kept = lanes_.at(segment.lane).segments;
    const bool is_copy = std::any_of(kept.begin(), kept.end(), [&](const StoredSegment& other) {
      return other.first == segment.first && other.count == segment.count &&
             other.file != segment.file;
    });
    if (is_copy) continue;
    findings_.push_back({generations_[segment.file].file(),
                         segment.place.leaf.number,
                         segment.lane,
                         {segment.first, segment.last()},
                         "a second segment claims records that another one holds",
                         "the first one found counts; nothing to do if that one is readable"});
  }
}

// Where the tables are whole they count, also against the copy: what they have not, because the
// files have gone back in time, has a fate that the copy does not tell.
void OfflineSpool::take_copy(FoundRows& rows, const LanesCopy& copy) {
  std::optional<uint32_t> broken;  // the newest file without all of its lanes
  for (const auto& [file, table] : rows.broken) {
    if (table == FoundTable::kLane && !broken) broken = file;
  }
  compare_with_copy(rows, copy, broken.has_value());
  take_epochs(rows, copy);
  take_lanes(rows, copy,
             [&broken](const FoundLane& lane) { return broken && lane.file > *broken; });
}

// The copy never is ahead of what was on disk when it was written.
void OfflineSpool::compare_with_copy(const FoundRows& rows, const LanesCopy& copy,
                                     bool lacks_lanes) {
  constexpr char kAnew[] = "penstock spool repair writes it anew";
  const auto file = dir_ / "lanes";
  for (const auto& epoch : copy.epochs) {
    if (rows.epochs.contains(epoch.id)) continue;
    findings_.push_back(
        {file, {}, {}, {}, fmt::format("epoch {} is in this copy alone", epoch.name), kAnew});
  }
  const auto next = next_numbers(rows);
  for (const auto& row : copy.lanes) {
    const auto known = rows.lanes.find(row.lane);
    if (known == rows.lanes.end() && lacks_lanes && row.next_seq > 1) {
      findings_.push_back({file,
                           {},
                           row.lane,
                           {},
                           "its row is in this copy alone, which tells its route, table and cursor",
                           kAnew});
      continue;
    }
    const bool is_it = known != rows.lanes.end() && known->second.key == row.key;
    const Seq got = is_it ? next.at(row.lane) : Seq{1};
    if (got >= row.next_seq) continue;
    findings_.push_back(
        {file,
         {},
         row.lane,
         {got, row.next_seq - 1},
         fmt::format(
             "the lane had got to record {} when this copy was written: the files have gone "
             "back in time",
             row.next_seq - 1),
         "penstock spool repair, before the agent starts, gets back what can be had; the rest is "
         "counted as damaged"});
  }
}

const OfflineLane* OfflineSpool::lane(LaneId id) const {
  const auto found = lanes_.find(id);
  return found == lanes_.end() ? nullptr : &found->second;
}

std::string OfflineSpool::origin(const OfflineLane& lane, uint32_t epoch) const {
  if (const auto imported = imported_from(lane.key)) return imported->origin;
  return fmt::format("{}/{}", origin_prefix(epochs_, epoch), lane.id);
}

const OfflineLane* OfflineSpool::numbered_under(std::string_view name) const {
  for (const auto& [id, lane] : lanes_) {
    if (replay_of(lane.key)) continue;  // those number for themselves
    const bool own = !imported_from(lane.key).has_value();
    for (const auto& [number, epoch] : epochs_) {
      if (own && epoch.machine_id == kImportedMachine) continue;
      if (origin(lane, number) == name) return &lane;
    }
  }
  return nullptr;
}

Result<DecodedSegment> OfflineSpool::load(const StoredSegment& segment) {
  auto stored = blob_at(generations_[segment.file].image(), segment.place, FoundTable::kSegment);
  if (!stored) return std::move(stored).error();
  auto decoded = codec_.parse(*stored);
  if (!decoded) return decoded;
  const auto& header = decoded->header;
  if (header.lane != segment.lane || header.first != segment.first ||
      header.count != segment.count) {
    return Error{ErrorKind::kCorrupt,
                 fmt::format("it holds records {}..{} of lane {}", header.first,
                             header.first + header.count - 1, header.lane),
                 {}};
  }
  return decoded;
}

Result<std::string> OfflineSpool::load(const StoredQuarantine& record) const {
  return blob_at(generations_[record.file].image(), record.place, FoundTable::kQuarantine);
}

void OfflineSpool::for_each(
    const RecordFilter& filter, const std::function<bool(const OfflineRecord&)>& take,
    const std::function<void(const OfflineLane&, const StoredSegment&, const Error&)>& lost) {
  for (const auto& [id, lane] : lanes_) {
    if (filter.lane && *filter.lane != id) continue;
    if (filter.table && *filter.table != lane.key.table) continue;
    if (!lane_records(lane, filter, take, lost)) return;
  }
}

// What is given out for it is empty, and says why.
void OfflineSpool::note_unreadable(StoredQuarantine& record, const Error& error) {
  record.reason += " (its bytes were destroyed: " + error.what + ")";
  findings_.push_back({generations_[record.file].file(),
                       record.place.leaf.number,
                       record.lane,
                       {record.seq, record.seq},
                       "quarantined record: " + error.what,
                       "nothing gives its bytes back; penstock quarantine discard ends it"});
}

// Segments and quarantine are both in order of seq and are merged; a quarantined record that is
// still in its segment comes from the quarantine alone.
bool OfflineSpool::lane_records(
    const OfflineLane& lane, const RecordFilter& filter,
    const std::function<bool(const OfflineRecord&)>& take,
    const std::function<void(const OfflineLane&, const StoredSegment&, const Error&)>& lost) {
  auto refused = lane.quarantine.begin();
  const auto quarantine_before = [&](Seq seq) {
    for (; refused != lane.quarantine.end() && refused->seq < seq; ++refused) {
      if (!filter.quarantine || refused->seq < filter.from) continue;
      auto body = load(*refused);
      StoredQuarantine shown = *refused;
      if (!body) note_unreadable(shown, body.error());
      const std::string bytes = body ? *std::move(body) : std::string();
      if (!take({lane.id, refused->seq, refused->epoch, RecordState::kQuarantined, bytes, &shown}))
        return false;
    }
    return true;
  };
  const Seq from = filter.delivered ? filter.from : std::max(filter.from, lane.cursor + 1);
  for (const auto& segment : lane.segments) {
    // Damaged ones stay in the file for good.
    if (lane.decided.missing_in({std::max(segment.first, from), segment.last()}).empty()) continue;
    auto decoded = load(segment);
    if (!decoded) {
      lost(lane, segment, decoded.error());
      continue;
    }
    std::string_view run = decoded->run;
    for (Seq seq = segment.first; seq <= segment.last(); ++seq) {
      const auto body = take_bytes(run);
      if (!body) break;
      if (!quarantine_before(seq)) return false;
      if (seq < from || lane.decided.contains(seq)) continue;
      const auto state = seq <= lane.cursor ? RecordState::kDelivered : RecordState::kPending;
      if (!take({lane.id, seq, decoded->header.epoch, state, *body, nullptr})) return false;
    }
  }
  return quarantine_before(~Seq{0});
}

}  // namespace penstock::spool
