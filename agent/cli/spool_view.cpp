// penstock spool stat, ls and fsck.
#include <cstdio>

#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/base/record.h"
#include "agent/base/text.h"
#include "agent/cli/human.h"
#include "agent/cli/input_losses.h"
#include "agent/cli/spool_command.h"
#include "agent/cli/spool_report.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_check.h"
#include "agent/spool/offline_writer.h"

namespace penstock::cli {
namespace {

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// When the oldest waiting record came in; its clock may never have been set, then there is no age.
std::optional<int64_t> oldest_us(spool::OfflineSpool& spool, const spool::OfflineLane& lane) {
  std::optional<int64_t> received;
  spool::RecordFilter filter;
  filter.lane = lane.id;
  spool.for_each(
      filter,
      [&received](const spool::OfflineRecord& stored) {
        std::vector<AttributeView> attributes;
        const auto record = decode_record(stored.body, attributes);
        if (record && record->time_quality == TimeQuality::kSet) received = record->received_at_us;
        return false;
      },
      [](const auto&, const auto&, const auto&) {});
  return received;
}

struct LaneReport {
  const spool::OfflineLane* lane;
  std::optional<int64_t> oldest;
};

struct Totals {
  uint64_t pending = 0;
  uint64_t quarantined = 0;
  uint64_t refused = 0;
  uint64_t file_bytes = 0;
  std::vector<spool::Finding> kept{};  // files with what a repair may bring back
};

// committed 12 = delivered 5 + pending 7; what is zero is left out, pending is always there.
std::string account(const spool::OfflineLane& lane) {
  std::string text = fmt::format("committed {} =", grouped(lane.committed()));
  const auto term = [&text](std::string_view name, uint64_t number, bool always) {
    if (number == 0 && !always) return;
    text += fmt::format("{} {} {}", text.ends_with('=') ? "" : " +", name, grouped(number));
  };
  term("delivered", lane.delivered(), true);
  term("replayed", lane.replayed, false);
  term("quarantined", lane.quarantined, false);
  term("discarded", lane.discarded, false);
  term("dropped (overflow)", lane.dropped - lane.dropped_age, false);
  term("dropped (age)", lane.dropped_age, false);
  term("damaged", lane.damaged, false);
  term("missing", lane.missing, false);
  term("pending", lane.pending, true);
  return text;
}

std::string lane_text(const LaneReport& report, int64_t now_us) {
  const auto& lane = *report.lane;
  const auto imported = spool::imported_from(lane.key);
  const auto replay = spool::replay_of(lane.key);
  std::string text =
      fmt::format("\nlane {}  {}", lane.id, shown(spool::configured_route(lane.key), 64));
  if (!lane.key.table.empty()) text += " -> " + shown(lane.key.table, 64);
  if (imported) text += "\n    imported: origin " + shown(imported->origin, 80);
  if (replay) text += fmt::format("\n    replayed from the quarantine of lane {}", replay->lane);
  if (!lane.has_row) text += "\n    its row is lost: route, table and cursor are unknown";
  text += "\n    " + account(lane);
  if (lane.refused > 0)
    text += fmt::format("\n    refused before they were committed: {} ({})", grouped(lane.refused),
                        lane.id == spool::kUnroutedLane ? "unrouted: drop" : "drop_newest");
  text += fmt::format("\n    {} in {}", size_text(lane.stored_bytes),
                      counted(lane.segments.size(), "segment"));
  if (lane.pending > 0)
    text += report.oldest ? ", the oldest record waits " + age_text(now_us - *report.oldest)
                          : ", the oldest record came before the clock was set";
  return text + "\n";
}

std::string state_text(const spool::OfflineSpool& spool, const Totals& totals, bool is_all) {
  if (!spool.findings().empty())
    return fmt::format("DAMAGED: {} (penstock spool fsck lists them)",
                       counted(spool.findings().size(), "finding"));
  if (totals.pending > 0) return counted(totals.pending, "record") + " waiting";
  return is_all ? "drained: nothing waits" : "nothing waits here";
}

void print_stat(const spool::OfflineSpool& spool, const std::vector<LaneReport>& lanes,
                const Totals& totals) {
  const int64_t now_us = read_clock().wall_us;
  print(fmt::format("spool {}\n", spool.dir().string()));
  const std::string kept = kept_text(spool, totals.kept);
  print(fmt::format("    {}\n", state_text(spool, totals, kept.empty())));
  if (!kept.empty()) print("    " + kept + "\n");
  if (const auto* newest = spool.newest_epoch()) {
    const auto& epoch = *newest;
    const bool imported = epoch.machine_id == spool::kImportedMachine;
    print(fmt::format("    {} {}, epoch {} since {}\n",
                      imported ? "no agent has run on it; last imported from" : "agent",
                      shown(epoch.agent_id), shown(epoch.name), time_text(epoch.started_us)));
  }
  for (const auto& file : spool.generations()) {
    print(fmt::format("    {}: format {}, {} with its log ({} committed in it)\n",
                      file.file().filename().string(),
                      file.format() == 0 ? "unknown" : std::to_string(file.format()),
                      size_text(file.file_bytes()),
                      counted(file.image().committed_frames(), "page")));
  }
  for (const auto& lane : lanes) print(lane_text(lane, now_us));
  if (lanes.empty()) {
    print(spool.findings().empty()
              ? "\nno records yet\n"
              : "\nits lanes cannot be read; penstock spool repair finds records without them\n");
  }
}

std::string lane_json(const LaneReport& report, int64_t now_us) {
  const auto& lane = *report.lane;
  return fmt::format(
      R"({{"lane":{},"route":{},"table":{},"committed":{},"delivered":{},"replayed":{},"quarantined":{},)"
      R"("discarded":{},"dropped":{},"damaged":{},"missing":{},"pending":{},"cursor":{},)"
      R"("dropped_overflow":{},"dropped_age":{},"refused":{},)"
      R"("segments":{},"bytes":{},"oldest_age_s":{}}})",
      lane.id, json(lane.key.route), json(lane.key.table), lane.committed(), lane.delivered(),
      lane.replayed, lane.quarantined, lane.discarded, lane.dropped, lane.damaged, lane.missing,
      lane.pending, lane.cursor, lane.dropped - lane.dropped_age, lane.dropped_age, lane.refused,
      lane.segments.size(), lane.stored_bytes,
      report.oldest ? fmt::format("{:.3f}", static_cast<double>(now_us - *report.oldest) / 1e6)
                    : "null");
}

void print_stat_json(const spool::OfflineSpool& spool, const std::vector<LaneReport>& lanes,
                     const Totals& totals) {
  const int64_t now_us = read_clock().wall_us;
  std::string out = fmt::format(R"({{"dir":{},"pending":{},"quarantined":{},"refused":{},)"
                                R"("bytes":{},"findings":{})",
                                json(spool.dir().string()), totals.pending, totals.quarantined,
                                totals.refused, totals.file_bytes, spool.findings().size());
  if (const auto* epoch = spool.newest_epoch())
    out += fmt::format(R"(,"agent_id":{},"epoch":{})", json(epoch->agent_id), json(epoch->name));
  out += R"(,"kept":[)";
  for (const auto& kept : totals.kept)
    out += (out.ends_with('[') ? "" : ",") + json(kept.file.filename().string());
  out += ']';
  out += R"(,"files":[)";
  for (const auto& file : spool.generations()) {
    out += fmt::format(R"({}{{"file":{},"format":{},"bytes":{}}})", out.ends_with('[') ? "" : ",",
                       json(file.file().filename().string()), file.format(), file.file_bytes());
  }
  out += R"(],"lanes":[)";
  for (const auto& lane : lanes) out += (out.ends_with('[') ? "" : ",") + lane_json(lane, now_us);
  print(out + R"(],"lost":)" + json_of(input_losses(spool.dir())) + "}\n");
}

}  // namespace

int spool_stat(const SpoolArguments& arguments) {
  auto spool = spool::OfflineSpool::open(arguments.dir);
  if (!spool) return report(spool.error());
  std::vector<LaneReport> lanes;
  Totals totals;
  totals.kept = spool::kept_findings(*spool);
  for (const auto& file : spool->generations()) totals.file_bytes += file.file_bytes();
  for (const auto& [id, lane] : spool->lanes()) {
    if (lane.committed() == 0 && lane.refused == 0) continue;
    totals.pending += lane.pending;
    totals.quarantined += lane.quarantined;
    totals.refused += lane.refused;
    lanes.push_back({&lane, lane.pending > 0 ? oldest_us(*spool, lane) : std::nullopt});
  }
  if (arguments.json) {
    print_stat_json(*spool, lanes, totals);
  } else {
    print_stat(*spool, lanes, totals);
    print(text_of(input_losses(spool->dir())));
  }
  const bool is_all = spool->findings().empty() && totals.kept.empty();
  return flush_output() && is_all ? kExitFine : kExitWrong;
}

namespace {

// As one line of at most `columns` characters.
std::string fitted(std::string_view text, size_t columns) {
  std::string line = shown(text, columns);
  if (line.size() <= columns) return line;
  line = shown(text, columns > 3 ? columns - 3 : columns);
  while (line.size() > columns) {
    line.pop_back();
    while (!line.empty() && (line.back() & 0xC0) == 0x80) line.pop_back();
  }
  return line;
}

// Columns as wide as the usual; the payload has what the terminal leaves.
class Listing {
 public:
  Listing() : payload_columns_(std::max<size_t>(terminal_columns(), 80) - kOthers) {}
  void head() const {
    print(fmt::format("{:>4} {:>8} {:<23} {:<9} {:<18} {:>6}  {}\n", "LANE", "SEQ",
                      "RECEIVED (UTC)", "SOURCE", "TOPIC", "BYTES", "PAYLOAD"));
  }
  void row(const spool::OfflineRecord& stored) {
    const auto record = decode_record(stored.body, attributes_);
    std::string note;
    if (stored.state == spool::RecordState::kDelivered) note = "[delivered] ";
    if (!record) {
      print(fmt::format("{:>4} {:>8} {}{} bytes that are no whole record\n", stored.lane,
                        stored.seq, note, stored.body.size()));
    } else {
      const size_t left = payload_columns_ > note.size() + 8 ? payload_columns_ - note.size() : 8;
      print(
          fmt::format("{:>4} {:>8} {:<23} {:<9} {:<18} {:>6}  {}{}\n", stored.lane, stored.seq,
                      record->time_quality == TimeQuality::kSet ? time_text(record->received_at_us)
                                                                : "clock not set",
                      fitted(record->source, 9), fitted(record->topic, 18), record->payload.size(),
                      note, fitted(record->payload.substr(0, left + 1), left)));
    }
    if (stored.quarantine != nullptr) {
      print(fmt::format("{:14}quarantined: {}\n", "",
                        fitted(stored.quarantine->reason, payload_columns_ + kOthers - 27)));
    }
  }

 private:
  static constexpr size_t kOthers = 4 + 1 + 8 + 1 + 23 + 1 + 9 + 1 + 18 + 1 + 6 + 2;
  size_t payload_columns_;
  std::vector<AttributeView> attributes_;
};

}  // namespace

int spool_ls(const SpoolArguments& arguments) {
  auto spool = open_spool(arguments);
  if (!spool) return report(spool.error());
  spool::RecordFilter filter{arguments.lane, arguments.table, arguments.from, arguments.all,
                             arguments.all};
  Listing listing;
  uint64_t count = 0;
  uint64_t unreadable = 0;
  spool->for_each(
      filter,
      [&](const spool::OfflineRecord& record) {
        if (count == 0) listing.head();
        listing.row(record);
        ++count;
        return (arguments.limit == 0 || count < arguments.limit) && std::ferror(stdout) == 0;
      },
      [&unreadable](const auto& lane, const auto& segment, const Error& error) {
        unreadable += segment.count;
        report_unreadable(lane.id, segment, error);
      });
  if (count == 0) std::fprintf(stderr, "no such records\n");
  const std::string kept = kept_text(*spool, spool::kept_findings(*spool));
  if (!kept.empty()) std::fprintf(stderr, "penstock spool: %s\n", kept.c_str());
  const bool good = flush_output() && unreadable == 0 && spool->findings().empty() && kept.empty();
  if (!spool->findings().empty())
    std::fprintf(stderr,
                 "penstock spool: the spool is damaged, records may be missing here: see "
                 "penstock spool fsck\n");
  return good ? kExitFine : kExitWrong;
}

int spool_fsck(const SpoolArguments& arguments) {
  auto spool = spool::OfflineSpool::open(arguments.dir);
  if (!spool) return report(spool.error());
  spool::CheckCounts counts;
  const auto findings = spool::check_spool(*spool, counts);
  for (const auto& finding : findings) print(to_text(finding) + "\n");
  print(fmt::format("{}: {} in {} ({}), {} in quarantine: {}\n", arguments.dir.string(),
                    counted(counts.records, "record"), counted(counts.segments, "segment"),
                    size_text(counts.bytes), counted(counts.quarantined, "record"),
                    findings.empty() ? "clean" : counted(findings.size(), "finding")));
  return flush_output() && findings.empty() ? kExitFine : kExitWrong;
}

}  // namespace penstock::cli
