#include "agent/spool/offline_check.h"

#include <spdlog/fmt/fmt.h>

#include "agent/spool/kept_files.h"

namespace penstock::spool {
namespace {

constexpr char kRepair[] =
    "penstock spool repair keeps the rest and counts these records as damaged";

class Check {
 public:
  Check(OfflineSpool& spool, CheckCounts& counts) : spool_(spool), counts_(counts) {}

  std::vector<Finding> run() {
    findings_ = spool_.findings();
    // The account of the lanes says what is wrong with the records; here is where they may be.
    for (auto& finding : kept_findings(spool_)) findings_.push_back(std::move(finding));
    for (const auto& generation : spool_.generations()) generation.check_structure(findings_);
    for (const auto& [id, lane] : spool_.lanes()) {
      segments(lane);
      quarantine(lane);
      account(lane);
    }
    return std::move(findings_);
  }

 private:
  void add(const OfflineLane& lane, SeqRange records, const OfflineFile& in,
           std::optional<uint32_t> page, std::string what, std::string advice) {
    findings_.push_back({in.file(), page, lane.id, records, std::move(what), std::move(advice)});
  }
  const OfflineFile& newest() const { return spool_.generations().front(); }

  void segments(const OfflineLane& lane);
  void quarantine(const OfflineLane& lane);
  void account(const OfflineLane& lane);
  void epoch(const OfflineLane& lane, const StoredSegment& segment);

  OfflineSpool& spool_;
  CheckCounts& counts_;
  std::vector<Finding> findings_;
};

void Check::segments(const OfflineLane& lane) {
  for (const auto& segment : lane.segments) {
    const OfflineFile& in = spool_.generations()[segment.file];
    const SeqRange records{segment.first, segment.last()};
    ++counts_.segments;
    counts_.records += segment.count;
    counts_.bytes += segment.stored_bytes;
    auto decoded = spool_.load(segment);
    if (!decoded) {
      const bool known = lane.decided.missing_in(records).empty() || records.last <= lane.cursor;
      add(lane, records, in, segment.place.leaf.number, decoded.error().what,
          known ? "nothing: these records have their fate already" : kRepair);
      continue;
    }
    if (decoded->header.epoch != segment.epoch || decoded->header.newest_us != segment.newest_us) {
      add(lane, records, in, segment.place.leaf.number,
          "the row's columns differ from the segment's own header",
          "the header counts; penstock spool repair writes the row anew");
    }
    epoch(lane, segment);
  }
}

void Check::epoch(const OfflineLane& lane, const StoredSegment& segment) {
  if (spool_.epochs().contains(segment.epoch)) return;
  add(lane, {segment.first, segment.last()}, spool_.generations()[segment.file],
      segment.place.leaf.number,
      fmt::format("they were numbered in epoch {}, which is not in the spool", segment.epoch),
      fmt::format("their origin is lost: they are sent and exported as {}",
                  spool_.origin(lane, segment.epoch)));
}

void Check::quarantine(const OfflineLane& lane) {
  for (const auto& record : lane.quarantine) {
    ++counts_.quarantined;
    if (auto body = spool_.load(record); !body) {
      add(lane, {record.seq, record.seq}, spool_.generations()[record.file],
          record.place.leaf.number, "quarantined record: " + body.error().what, kRepair);
    }
  }
}

void Check::account(const OfflineLane& lane) {
  if (!lane.has_row) {
    add(lane, {}, newest(), {},
        "there are records of this lane, but not its row: route, table "
        "and cursor are unknown",
        "penstock spool repair keeps them under route _lost");
  }
  for (const auto& range : lane.missing_ranges()) {
    add(lane, range, newest(), {}, "these records are neither stored nor have they a fate",
        "the agent counts them as damaged when it starts");
  }
  const uint64_t sum = lane.replayed + lane.quarantined + lane.discarded + lane.dropped +
                       lane.damaged + lane.missing + lane.pending;
  if (sum > lane.committed()) {
    add(lane, {1, lane.committed()}, newest(), {},
        fmt::format("the account does not close: {} records committed, but {} have a fate or wait",
                    lane.committed(), sum),
        "penstock spool repair counts anew");
  }
}

}  // namespace

std::vector<Finding> kept_findings(const OfflineSpool& spool) {
  std::vector<Finding> findings;
  const auto add = [&findings](const std::filesystem::path& file, const char* what,
                               const char* advice) {
    findings.push_back({file, {}, {}, {}, what, advice});
  };
  for (const auto& kept : list_kept(spool.dir())) {
    const auto mark = read_parked_mark(spool.dir(), kept.number);
    add(kept_file(spool.dir(), kept),
        mark && mark->has_gone_back ? "kept: it has gone back in time"
                                    : "kept: records in it are counted as damaged",
        "penstock spool repair gets out of it what can be had");
  }
  for (const auto& [number, log] : list_lost_logs(spool.dir())) {
    add(log, "its database is gone",
        "put the database back beside its log, or penstock spool repair");
  }
  for (const auto& generation : spool.generations()) {
    const auto mark = read_parked_mark(spool.dir(), generation.number());
    if (!mark) continue;
    add(generation.file(),
        mark->has_gone_back ? "it has gone back in time, and the agent has gone on in a new file"
                            : "the agent could not open or read it and has gone on in a new file",
        "penstock spool repair gets out of it what is counted as damaged");
  }
  return findings;
}

std::vector<Finding> check_spool(OfflineSpool& spool, CheckCounts& counts) {
  return Check(spool, counts).run();
}

}  // namespace penstock::spool
