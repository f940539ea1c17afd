#include "agent/cli/audit_command.h"

#include <cstdio>
#include <set>

#include <CLI/CLI.hpp>
#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/cli/audit_query.h"
#include "agent/cli/human.h"
#include "agent/cli/spool_report.h"
#include "agent/config/config.h"
#include "agent/config/table_name.h"

namespace penstock::cli {
namespace {

constexpr char kSystemConfig[] = "/etc/penstock/penstock.yaml";

Error usage(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

bool is_one_table(const std::string& name) {
  return name.find('$') == name.npos && config::check_table_template(name).has_value();
}

void print(const std::string& table, const AuditLedger& ledger, const std::string& source) {
  std::printf(
      "-- %s: records that are missing and that nobody can explain; no rows: there are none.\n"
      "-- %s\n"
      "-- Rows that the table's own retention has removed show as missing at the beginning.\n%s\n",
      table.c_str(), source.c_str(), audit_query(table, ledger).c_str());
}

// Of a table that is spelt wrong, or of another spool, the query would find nothing amiss.
std::string no_such_table(const spool::OfflineSpool& spool, const std::string& table) {
  std::set<std::string> known;
  for (const auto& [id, lane] : spool.lanes()) {
    if (!lane.key.table.empty() && lane.committed() > 0) known.insert(lane.key.table);
  }
  return fmt::format("the ledger has no record for {}, so the query proves nothing (it has: {})",
                     table, known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
}

}  // namespace

AuditCommand::AuditCommand(CLI::App& app) {
  audit_ = app.add_subcommand("audit", "Prove from a table that no record is missing in it");
  audit_->add_flag("--sql", sql_, "Print the query, to be run where the table is")->required();
  audit_->add_option(
      "-c,--config", config_,
      std::string("For spool.dir and the tables; default ") + kSystemConfig + " if it is there");
  audit_->add_option("--spool", spool_, "The spool whose ledger counts, instead of spool.dir");
  audit_->add_option("TABLE", table_, "catalog.schema.table; default: all that are known");
  audit_->footer(
      "The table needs the columns _origin and _seq. Stop the agent to have the ledger of its\n"
      "spool in the query: what is in quarantine, dropped, damaged or not sent yet. Without it "
      "the\n"
      "query knows only the rows that are there: it finds gaps between them and explains none, "
      "but\n"
      "not what is missing before the first or behind the last row of an origin, and no origin of\n"
      "which no row is there.\n"
      "Exit codes: 0 with the ledger, 1 without it or where it has no record for TABLE, 2 nothing "
      "printed.");
}

Result<AuditCommand::Sources> AuditCommand::sources() const {
  Sources out{spool_, {}};
  if (!table_.empty()) {
    if (!is_one_table(table_)) return usage(table_ + " is no table; write catalog.schema.table");
    out.tables = {table_};
  }
  const bool system = config_.empty();
  const std::filesystem::path file = system ? kSystemConfig : config_;
  if (system && (!spool_.empty() || !std::filesystem::exists(file))) return out;
  const auto loaded = config::load_file(file, config::system_environment());
  if (!loaded.ok()) return usage(file.string() + " is not in order; see penstock check");
  if (out.spool.empty()) out.spool = loaded.config.spool.dir;
  if (!table_.empty()) return out;
  for (const auto& route : loaded.config.routes) {
    if (is_one_table(route.table)) out.tables.insert(route.table);
  }
  return out;
}

std::optional<int> AuditCommand::run() const {
  if (!*audit_) return std::nullopt;
  auto sources = this->sources();
  if (!sources) return report(sources.error());
  std::optional<spool::OfflineSpool> spool;
  std::string source =
      "Without a ledger: what is in quarantine or was dropped shows as missing; what is missing "
      "before the first or behind the last row of an origin does not show.";
  if (!sources->spool.empty()) {
    auto opened = spool::OfflineSpool::open(sources->spool);
    if (opened) {
      source = fmt::format("Ledger: {}, as of {} UTC.", sources->spool.string(),
                           time_text(read_clock().wall_us));
      spool = *std::move(opened);
    } else {
      std::fprintf(stderr, "without the ledger: %s\n", opened.error().what.c_str());
    }
  }
  if (spool && table_.empty()) {
    for (const auto& [id, lane] : spool->lanes()) {
      if (!lane.key.table.empty() && lane.committed() > 0) sources->tables.insert(lane.key.table);
    }
  }
  if (sources->tables.empty()) return report(usage("which table? penstock audit --sql TABLE"));
  bool proves = spool.has_value();
  for (const auto& table : sources->tables) {
    const auto ledger = spool ? audit_ledger(*spool, table) : AuditLedger{};
    print(table, ledger, source);
    if (!spool || table_.empty() || !ledger.explained.empty()) continue;
    std::fprintf(stderr, "%s\n", no_such_table(*spool, table).c_str());
    proves = false;
  }
  return flush_output() && proves ? kExitFine : kExitWrong;
}

}  // namespace penstock::cli
