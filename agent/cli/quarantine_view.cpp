// penstock quarantine ls and show.
#include <cstdio>

#include <spdlog/fmt/fmt.h>

#include "agent/base/record.h"
#include "agent/base/text.h"
#include "agent/cli/human.h"
#include "agent/cli/quarantine_command.h"
#include "agent/cli/spool_report.h"
#include "agent/codec/schema_version.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/replayed_record.h"

namespace penstock::cli {
namespace {

constexpr size_t kHeadBytes = 160;    // of a payload, in ls
constexpr size_t kShownBytes = 2000;  // of a payload, in show

// One quarantined record, taken apart.
struct Found {
  const spool::OfflineLane& lane;
  const spool::StoredQuarantine& row;
  std::string body;
  std::string origin;
  uint64_t seq = 0;  // with origin: its name
  RecordView record;
  bool is_whole = false;
  std::vector<AttributeView> attributes;
};

Found take_apart(const spool::OfflineSpool& spool, const spool::OfflineLane& lane,
                 const spool::StoredQuarantine& row) {
  Found out{lane, row, {}, spool.origin(lane, row.epoch), row.seq, {}, false, {}};
  if (auto body = spool.load(row)) out.body = *std::move(body);
  auto record = decode_record(out.body, out.attributes);
  out.is_whole = record.has_value();
  if (!out.is_whole) return out;
  out.record = *record;
  if (!spool::replay_of(lane.key)) return out;
  if (const auto name = spool::take_name(out.record, out.attributes)) {
    out.origin = name->origin;
    out.seq = name->seq;
  }
  return out;
}

std::string size_and_payload(const Found& found, size_t most) {
  if (found.is_whole)
    return fmt::format("{} B  {}", found.record.payload.size(), shown(found.record.payload, most));
  return found.body.empty() ? "its bytes are destroyed"
                            : fmt::format("{} B that are no whole record", found.body.size());
}

std::string ls_text(const Found& found) {
  return fmt::format("{:>4} {:>8}  {}  {}\n{:15}{}\n{:15}{}\n", found.lane.id, found.row.seq,
                     time_text(found.row.at_us),
                     found.lane.key.table.empty() ? "(no table)" : shown(found.lane.key.table, 128),
                     "", shown(found.row.reason, 300), "", size_and_payload(found, kHeadBytes));
}

std::string ls_json(const Found& found) {
  const auto reason = codec::split_reason(found.row.reason);
  return fmt::format(
      R"({{"lane":{},"seq":{},"origin":{},"origin_seq":{},"route":{},"table":{},"at_us":{},)"
      R"("reason":{},"schema":{},"received_at_us":{},"bytes":{},"payload_head":{}}})"
      "\n",
      found.lane.id, found.row.seq, json(found.origin), found.seq,
      json(spool::configured_route(found.lane.key)), json(found.lane.key.table), found.row.at_us,
      json(reason.text), reason.schema_version.empty() ? "null" : json(reason.schema_version),
      found.is_whole ? found.record.received_at_us : 0,
      found.is_whole ? found.record.payload.size() : found.body.size(),
      json(found.record.payload.substr(0, kHeadBytes)));
}

std::string show_text(const Found& found) {
  const auto reason = codec::split_reason(found.row.reason);
  std::string text = fmt::format(
      "lane {} seq {}\n    name         {} {}\n    route        {}\n    table        {}\n"
      "    since        {} UTC\n    reason       {}\n    schema       {}\n",
      found.lane.id, found.row.seq, shown(found.origin, 128), found.seq,
      shown(spool::configured_route(found.lane.key), 64), shown(found.lane.key.table, 128),
      time_text(found.row.at_us), shown(reason.text, 4000),
      reason.schema_version.empty() ? "none was sent" : reason.schema_version);
  if (found.is_whole) {
    text += fmt::format("    received     {} UTC{}\n    source       {}\n    topic        {}\n",
                        time_text(found.record.received_at_us),
                        found.record.time_quality == TimeQuality::kSet ? "" : ", clock not set",
                        shown(found.record.source), shown(found.record.topic, 200));
    for (const auto& attribute : found.record.attributes)
      text += fmt::format("    attribute    {}: {}\n", shown(attribute.key),
                          shown(attribute.value, 200));
  }
  return text + fmt::format("    payload      {}\n\n", size_and_payload(found, kShownBytes));
}

int each(const QuarantineArguments& arguments, std::string (*text)(const Found&)) {
  auto spool = spool::OfflineSpool::open(arguments.dir);
  if (!spool) return report(spool.error());
  uint64_t count = 0;
  for (const auto& [id, lane] : spool->lanes()) {
    for (const auto& row : lane.quarantine) {
      if (!matches(lane, row, arguments.filter)) continue;
      if (arguments.limit != 0 && count == arguments.limit) break;
      ++count;
      const std::string out = text(take_apart(*spool, lane, row));
      std::fwrite(out.data(), 1, out.size(), stdout);
    }
  }
  if (count == 0) std::fprintf(stderr, "there are no such records\n");
  if (!spool->findings().empty())
    std::fprintf(stderr,
                 "the spool is damaged, records may be missing here: see penstock spool "
                 "fsck\n");
  return flush_output() && count > 0 && spool->findings().empty() ? kExitFine : kExitWrong;
}

}  // namespace

int quarantine_ls(const QuarantineArguments& arguments) {
  return each(arguments, arguments.json ? &ls_json : &ls_text);
}

int quarantine_show(const QuarantineArguments& arguments) { return each(arguments, &show_text); }

}  // namespace penstock::cli
