// penstock spool export.
#include <cstdio>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/base/record.h"
#include "agent/cli/export_file.h"
#include "agent/cli/human.h"
#include "agent/cli/spool_command.h"
#include "agent/cli/spool_report.h"
#include "agent/codec/export_line.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_check.h"
#include "agent/spool/offline_reader.h"
#include "agent/spool/replayed_record.h"

namespace penstock::cli {
namespace {

using codec::ExportLine;

class Exporter {
 public:
  Exporter(spool::OfflineSpool& spool, ExportFile& out, const SpoolArguments& arguments)
      : spool_(spool), out_(out), arguments_(arguments) {}

  void run() {
    header();
    for (const auto& [id, lane] : spool_.lanes()) {
      if (arguments_.lane && *arguments_.lane != id) continue;
      if (arguments_.table && *arguments_.table != lane.key.table) continue;
      told_from_ = arguments_.all ? 1 : lane.cursor + 1;
      if (!arguments_.only_quarantine) gaps(lane);
      records(lane);
    }
  }
  uint64_t count() const { return count_; }
  uint64_t unreadable() const { return unreadable_; }

 private:
  void header();
  void gaps(const spool::OfflineLane& lane);
  void delivered(const spool::OfflineLane& lane);
  std::optional<uint32_t> next_epoch(const spool::OfflineLane& lane) const;
  void gap(const spool::OfflineLane& lane, uint32_t epoch, spool::SeqRange range,
           std::string_view fate, int64_t at_us, const std::string& reason);
  void records(const spool::OfflineLane& lane);
  void begin(const spool::OfflineLane& lane, uint32_t epoch);
  void record(const spool::OfflineLane& lane, const spool::OfflineRecord& stored);
  uint32_t epoch_at(const spool::OfflineLane& lane, spool::Seq seq) const;
  void put() {
    out_.write(text_);
    text_.clear();
  }

  spool::OfflineSpool& spool_;
  ExportFile& out_;
  const SpoolArguments& arguments_;
  spool::Seq told_from_ = 1;  // no gap line speaks of what is before
  ExportLine line_;
  std::string text_;
  std::vector<AttributeView> attributes_;
  uint64_t count_ = 0;
  uint64_t unreadable_ = 0;
};

void Exporter::header() {
  codec::ExportHeader header;
  if (const auto* epoch = spool_.newest_epoch()) {
    header.agent_id = epoch->agent_id;
    header.epoch = epoch->name;
  }
  header.exported_at_us = read_clock().wall_us;
  codec::append_export_header(header, text_);
  put();
}

void Exporter::begin(const spool::OfflineLane& lane, uint32_t epoch) {
  line_.lane = {spool_.origin(lane, epoch), spool::configured_route(lane.key), lane.key.table};
  line_.delivered = false;
  line_.quarantined.reset();
}

// The epoch of a number nobody has a record for: its neighbour's.
uint32_t Exporter::epoch_at(const spool::OfflineLane& lane, spool::Seq seq) const {
  uint32_t epoch = 0;
  for (const auto& segment : lane.segments) {
    if (epoch != 0 && segment.first > seq) break;
    epoch = segment.epoch;
  }
  if (epoch == 0 && !lane.quarantine.empty()) epoch = lane.quarantine.front().epoch;
  if (epoch == 0 && !spool_.epochs().empty()) epoch = spool_.epochs().rbegin()->first;
  return epoch;
}

void Exporter::gap(const spool::OfflineLane& lane, uint32_t epoch, spool::SeqRange range,
                   std::string_view fate, int64_t at_us, const std::string& reason) {
  range.first = std::max(range.first, told_from_);
  if (range.empty()) return;
  begin(lane, epoch);
  line_.first = range.first;
  line_.last = range.last;
  line_.fate = fate;
  line_.note = {at_us, reason};
  codec::append_export_gap(line_, text_);
  put();
}

// The epoch of the first record that is not decided; none: nothing is said that needs an account of
// what was before. A number behind it may have been another's in an earlier epoch.
std::optional<uint32_t> Exporter::next_epoch(const spool::OfflineLane& lane) const {
  std::optional<uint32_t> epoch;
  spool::Seq before = UINT64_MAX;
  for (const auto& segment : lane.segments) {
    if (segment.last() <= lane.cursor) continue;
    before = segment.first;
    epoch = segment.epoch;
    break;
  }
  for (const auto& record : lane.quarantine) {
    if (record.seq > lane.cursor && record.seq < before) return record.epoch;
  }
  return epoch;
}

// What is behind the cursor and has no other fate went out. A spool that has an earlier export of
// the lane waits for those numbers otherwise. Of an imported lane the cursor says nothing about
// numbers before its first record; what was known of them came with it.
void Exporter::delivered(const spool::OfflineLane& lane) {
  if (spool::imported_from(lane.key)) {
    told_from_ = 1;
    return;
  }
  const auto epoch = next_epoch(lane);
  if (!epoch) return;
  told_from_ = 1;
  for (const auto& range : lane.decided.missing_in({1, lane.cursor}))
    gap(lane, *epoch, range, "delivered", 0, "");
}

// What became of the numbers between the records, so that the importing spool's account closes too.
// Those of a lane that sends records again are nobody's name.
void Exporter::gaps(const spool::OfflineLane& lane) {
  if (spool::replay_of(lane.key)) return;
  delivered(lane);
  for (const auto& fate : lane.fates) {
    const char* name = fate.kind == 2 ? "discarded" : fate.kind == 3 ? "dropped" : "damaged";
    const bool is_there = fate.kind == 2 && fate.reason == spool::kDeliveredThere;
    gap(lane, epoch_at(lane, fate.range.first), fate.range, is_there ? "delivered" : name,
        fate.at_us, is_there ? std::string() : fate.reason);
  }
  // Left open behind the cursor, where they may have been replayed: they may come with another
  // file.
  if (!arguments_.all) told_from_ = lane.cursor + 1;
  if (!arguments_.quarantine && !arguments_.all) {
    for (const auto& record : lane.quarantine) {
      gap(lane, record.epoch, {record.seq, record.seq}, "quarantined", record.at_us, record.reason);
    }
  }
  for (const auto& range : lane.missing_ranges())
    gap(lane, epoch_at(lane, range.first), range, "missing", 0, "");
}

// A record that is being sent again goes by the name it was numbered with.
void Exporter::record(const spool::OfflineLane& lane, const spool::OfflineRecord& stored) {
  begin(lane, stored.epoch);
  line_.first = stored.seq;
  line_.delivered = stored.state == spool::RecordState::kDelivered;
  if (stored.quarantine != nullptr)
    line_.quarantined = {stored.quarantine->at_us, stored.quarantine->reason};
  auto view = decode_record(stored.body, attributes_);
  const auto name = view && spool::replay_of(lane.key) ? spool::take_name(*view, attributes_)
                                                       : std::optional<spool::RecordName>();
  std::string body;
  if (name) {
    line_.lane.origin = name->origin;
    line_.first = name->seq;
    encode_record(*view, body);
  }
  codec::append_export_record(line_, name ? std::string_view(body) : stored.body, text_);
  put();
  ++count_;
}

void Exporter::records(const spool::OfflineLane& lane) {
  const bool with_quarantine =
      arguments_.quarantine || arguments_.all || arguments_.only_quarantine;
  const spool::RecordFilter filter{lane.id, {}, 1, arguments_.all, with_quarantine};
  spool_.for_each(
      filter,
      [&](const spool::OfflineRecord& stored) {
        const auto& only = arguments_.only_quarantine;
        if (only && (!stored.quarantine || !matches(lane, *stored.quarantine, *only))) return true;
        record(lane, stored);
        return out_.good();
      },
      [&](const auto&, const spool::StoredSegment& segment, const Error& error) {
        if (arguments_.only_quarantine) return;
        unreadable_ += segment.count;
        gap(lane, segment.epoch, {segment.first, segment.last()}, "missing", 0, error.what);
        report_unreadable(lane.id, segment, error);
      });
}

}  // namespace

int spool_export(const SpoolArguments& arguments) {
  auto spool = open_spool(arguments);
  if (!spool) return report(spool.error());
  auto out = ExportFile::open(arguments.file);
  if (!out) return report(out.error());
  Exporter exporter(*spool, *out, arguments);
  exporter.run();
  if (auto done = out->finish(); !done) return report(done.error());
  if (arguments.only_quarantine && exporter.count() == 0) {
    std::fprintf(stderr, "there are no such records\n");
    return kExitWrong;
  }
  const bool whole = exporter.unreadable() == 0 && spool->findings().empty();
  std::fprintf(stderr, "%s exported%s\n", counted(exporter.count(), "record").c_str(),
               exporter.unreadable() > 0
                   ? fmt::format(", {} could not be read", grouped(exporter.unreadable())).c_str()
                   : "");
  if (!whole)
    std::fprintf(stderr, "the spool is damaged: penstock spool repair may bring back more\n");
  const std::string kept = kept_text(*spool, spool::kept_findings(*spool));
  if (!kept.empty()) std::fprintf(stderr, "penstock spool: %s\n", kept.c_str());
  return whole && kept.empty() ? kExitFine : kExitWrong;
}

}  // namespace penstock::cli
