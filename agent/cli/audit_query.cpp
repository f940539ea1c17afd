#include "agent/cli/audit_query.h"

#include <set>

#include <spdlog/fmt/fmt.h>

#include "agent/base/record.h"
#include "agent/codec/table_schema.h"
#include "agent/spool/imported_lane.h"
#include "agent/spool/offline_writer.h"
#include "agent/spool/replayed_record.h"

namespace penstock::cli {
namespace {

std::string text(std::string_view value) {
  std::string out = "'";
  for (const char c : value) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

std::string name_of(const spool::FoundFate& fate) {
  if (fate.reason.starts_with(spool::kReplayedTo)) return fate.reason;
  return fate.kind == 2 ? "discarded" : fate.kind == 3 ? "dropped" : "damaged";
}

class Auditor {
 public:
  Auditor(spool::OfflineSpool& spool, const std::string& table) : spool_(spool), table_(table) {}

  AuditLedger run() {
    for (const auto& [id, epoch] : spool_.epochs()) {
      if (epoch.machine_id != spool::kImportedMachine) own_.push_back(id);
    }
    for (const auto& [id, lane] : spool_.lanes()) {
      if (lane.committed() == 0) continue;
      if (spool::replay_of(lane.key)) {
        replayed(lane);
      } else if (is_it(lane.key.table)) {
        numbered(lane);
      }
    }
    return std::move(out_);
  }

 private:
  void add(const std::string& origin, uint64_t first, uint64_t last, std::string fate) {
    if (first <= last) out_.explained.push_back({origin, first, last, std::move(fate)});
  }
  // The name that all records of a lane go by here, whatever the epoch they were numbered in.
  std::string name_of_lane(const spool::OfflineLane& lane) const {
    return spool_.origin(lane, own_.empty() ? 0 : own_.back());
  }
  void rename(const spool::OfflineLane& lane, const std::string& name);
  void numbered(const spool::OfflineLane& lane);
  void replayed(const spool::OfflineLane& lane);
  void of_others(const spool::OfflineLane& home);
  // Topics may write the name of one table in several ways.
  bool is_it(std::string_view table) const { return codec::same_name(table, table_); }
  bool is_sent_here(const spool::FoundFate& fate) const {
    constexpr std::string_view kSent = spool::kReplayedTo;
    return fate.reason.starts_with(kSent) &&
           is_it(std::string_view(fate.reason).substr(kSent.size()));
  }

  spool::OfflineSpool& spool_;
  const std::string& table_;
  std::vector<uint32_t> own_;
  AuditLedger out_;
  std::set<std::string> elsewhere_;
};

void Auditor::rename(const spool::OfflineLane& lane, const std::string& name) {
  if (spool::imported_from(lane.key)) return;
  for (const uint32_t epoch : own_) {
    if (const auto origin = spool_.origin(lane, epoch); origin != name)
      out_.renamed.emplace_back(origin, name);
  }
}

void Auditor::numbered(const spool::OfflineLane& lane) {
  const std::string name = name_of_lane(lane);
  if (!spool::imported_from(lane.key)) add(name, 0, 0, "numbers begin at 1");
  rename(lane, name);
  for (const auto& fate : lane.fates) {
    if (is_sent_here(fate)) continue;  // under another spelling of this table
    add(name, fate.range.first, std::min(fate.range.last, lane.cursor), name_of(fate));
  }
  for (const auto& row : lane.quarantine) {
    if (row.seq <= lane.cursor) add(name, row.seq, row.seq, "in quarantine");
  }
  add(name, lane.cursor + 1, std::max(lane.cursor + 1, lane.committed()), "not sent yet");
}

// What a lane that sends records again still holds, under the names they were numbered with.
void Auditor::replayed(const spool::OfflineLane& lane) {
  spool::RecordFilter filter;
  filter.lane = lane.id;
  filter.quarantine = true;
  std::vector<AttributeView> attributes;
  spool_.for_each(
      filter,
      [&](const spool::OfflineRecord& stored) {
        auto view = decode_record(stored.body, attributes);
        const auto name = view ? spool::take_name(*view, attributes) : std::nullopt;
        if (!name) return true;
        const auto* home = spool_.numbered_under(name->origin);
        const std::string origin = home ? name_of_lane(*home) : std::string(name->origin);
        if (is_it(lane.key.table) || (home && is_it(home->key.table)))
          add(origin, name->seq, name->seq, stored.quarantine ? "in quarantine" : "not sent yet");
        return true;
      },
      [](const auto&, const auto&, const auto&) {});
  if (!is_it(lane.key.table)) return;
  const auto* home = &lane;
  while (home && spool::replay_of(home->key)) home = spool_.lane(spool::replay_of(home->key)->lane);
  if (home && !is_it(home->key.table)) of_others(*home);
}

// A lane of another table, some of whose records were sent to this one: the others are not wanted.
void Auditor::of_others(const spool::OfflineLane& home) {
  const std::string name = name_of_lane(home);
  if (!elsewhere_.insert(name).second) return;
  rename(home, name);
  uint64_t next = 0;
  for (const auto& fate : home.fates) {
    if (!is_sent_here(fate)) continue;
    if (fate.range.first > next) add(name, next, fate.range.first - 1, "of another table");
    next = fate.range.last + 1;
  }
  add(name, next, home.committed() + 1, "of another table");
}

template <class Rows, class Row>
std::string values(const Rows& rows, const char* none, Row&& row) {
  std::string out;
  for (const auto& one : rows) out += (out.empty() ? "\n  (" : ",\n  (") + row(one) + ")";
  return out.empty() ? std::string("\n  (") + none + ")" : out;
}

}  // namespace

AuditLedger audit_ledger(spool::OfflineSpool& spool, const std::string& table) {
  return Auditor(spool, table).run();
}

std::string audit_query(const std::string& table, const AuditLedger& ledger) {
  std::string sql = "WITH explained(origin, first_seq, last_seq, fate) AS (VALUES";
  sql += values(ledger.explained, "'', 0, 0, 'nothing known'", [](const Explained& one) {
    return fmt::format("{}, {}, {}, {}", text(one.origin), one.first, one.last, text(one.fate));
  });
  sql += "\n), renamed(origin, name) AS (VALUES";
  sql += values(ledger.renamed, "'', ''",
                [](const auto& one) { return text(one.first) + ", " + text(one.second); });
  sql += fmt::format(R"(
), seen AS (
  SELECT coalesce(renamed.name, landed._origin) AS origin,
         landed._seq AS first_seq, landed._seq AS last_seq
  FROM {} AS landed LEFT JOIN renamed ON renamed.origin = landed._origin
  WHERE landed._origin IS NOT NULL AND landed._seq IS NOT NULL
  UNION ALL
  SELECT origin, first_seq, last_seq FROM explained
), reach AS (
  SELECT origin,
         max(last_seq) OVER (PARTITION BY origin ORDER BY first_seq, last_seq
                             ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached,
         lead(first_seq) OVER (PARTITION BY origin ORDER BY first_seq, last_seq) AS next_seq
  FROM seen
)
SELECT origin, reached + 1 AS first_missing, next_seq - 1 AS last_missing,
       next_seq - reached - 1 AS records
FROM reach WHERE next_seq > reached + 1 ORDER BY origin, first_missing;
)",
                     table);
  return sql;
}

}  // namespace penstock::cli
