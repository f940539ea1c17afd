// penstock quarantine: the command line, export, replay and discard.
#include "agent/cli/quarantine_command.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <spdlog/fmt/fmt.h>

#include "agent/base/clock.h"
#include "agent/cli/human.h"
#include "agent/cli/spool_report.h"
#include "agent/config/config.h"
#include "agent/config/table_name.h"

namespace penstock::cli {
namespace {

constexpr char kSystemConfig[] = "/etc/penstock/penstock.yaml";

Error usage(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

// "7" or "7-12".
std::optional<spool::SeqRange> parse_seqs(std::string_view text) {
  spool::SeqRange range;
  const auto* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, range.first);
  if (error != std::errc() || range.first == 0) return std::nullopt;
  range.last = range.first;
  if (rest != end && *rest == '-') {
    const auto last = std::from_chars(rest + 1, end, range.last);
    rest = last.ptr;
    error = last.ec;
  }
  if (error != std::errc() || rest != end || range.empty()) return std::nullopt;
  return range;
}

bool is_filtered(const QuarantineArguments& arguments) {
  const auto& filter = arguments.filter;
  return filter.lane || !filter.reason.empty() || !arguments.seqs.empty();
}

Result<void> check_target(const spool::ReplayTarget& target) {
  if (!target.table.empty()) {
    const auto checked = config::check_table_template(target.table);
    if (!checked) return usage("--table: " + target.table + " " + checked.error().what);
    if (target.table.find('$') != target.table.npos)
      return usage("--table takes the name of a table, without ${...}");
  }
  if (target.route.find_first_of("@\n") != target.route.npos)
    return usage("--route: " + target.route + " is no name of a route");
  return {};
}

// The configuration of the agent that is to send the records; nothing where none is known.
Result<std::optional<config::Config>> config_of(const QuarantineArguments& arguments) {
  const bool is_named = !arguments.config.empty();
  const std::filesystem::path file = is_named ? arguments.config : kSystemConfig;
  std::error_code error;
  if (!is_named && !std::filesystem::exists(file, error)) return std::optional<config::Config>();
  auto loaded = config::load_file(file, config::system_environment());
  if (loaded.ok()) {
    const bool is_its_spool =
        std::filesystem::equivalent(loaded.config.spool.dir, arguments.dir, error);
    if (is_named || is_its_spool) return std::optional(std::move(loaded.config));
    return std::optional<config::Config>();
  }
  if (is_named) return usage(file.string() + " is not in order; see penstock check");
  std::fprintf(stderr, "note: %s is not in order, so the routes are not looked up there\n",
               file.c_str());
  return std::optional<config::Config>();
}

// In a lane of a route that no agent has, records would wait for ever: which there are, where that
// is known, and the one asked for among them.
Result<void> look_up_routes(const QuarantineArguments& arguments, spool::ReplayTarget& target) {
  const auto config = config_of(arguments);
  if (!config) return config.error();
  if (!*config) return {};
  auto& names = target.routes.emplace();
  for (const auto& route : (*config)->routes) names.insert(route.name);
  if (target.route.empty() || names.contains(target.route)) return {};
  return usage(fmt::format("--route: there is no route {} (routes: {})", target.route,
                           names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

int print_edit(const Result<spool::QuarantineEdit>& edit, const char* done, const char* then) {
  if (!edit) return report(edit.error());
  std::printf("%s %s%s\n", counted(edit->done, "record").c_str(), done, edit->done > 0 ? then : "");
  uint64_t left = 0;
  for (const auto& [why, number] : edit->left) {
    left += number;
    std::fprintf(stderr, "%s left in the quarantine: %s\n", counted(number, "record").c_str(),
                 why.c_str());
  }
  if (edit->done == 0 && left == 0) std::fprintf(stderr, "there are no such records\n");
  return flush_output() && left == 0 && edit->done > 0 ? kExitFine : kExitWrong;
}

int quarantine_replay(const QuarantineArguments& arguments) {
  auto target = arguments.target;
  if (const auto good = check_target(target); !good) return report(good.error());
  if (const auto good = look_up_routes(arguments, target); !good) return report(good.error());
  return print_edit(spool::replay_quarantine(arguments.dir, arguments.filter, target,
                                             Log::to_stderr(LogLevel::kWarning)),
                    "to be sent again", "; the agent does that after its next start");
}

int quarantine_discard(const QuarantineArguments& arguments) {
  return print_edit(spool::discard_quarantine(arguments.dir, arguments.filter, read_clock().wall_us,
                                              Log::to_stderr(LogLevel::kWarning)),
                    "discarded", "");
}

int quarantine_export(const QuarantineArguments& arguments) {
  SpoolArguments exported;
  exported.dir = arguments.dir;
  exported.file = arguments.file;
  exported.only_quarantine = arguments.filter;
  return spool_export(exported);
}

bool changes(int (*perform)(const QuarantineArguments&)) {
  return perform == &quarantine_replay || perform == &quarantine_discard;
}

}  // namespace

QuarantineCommand::QuarantineCommand(CLI::App& app) {
  auto& quarantine = *app.add_subcommand(
      "quarantine", "Records that could not be sent: look, send again, discard (agent stopped)");
  quarantine.require_subcommand(1);
  quarantine.footer(
      "Works on the spool's directory while no agent runs on it (systemctl stop penstock).\n"
      "Exit codes: 0 fine, 1 some records were left or there are none, 2 nothing done.");
  auto* ls = add(quarantine, "ls", "One line a record: where, since when, why", &quarantine_ls);
  ls->add_flag("--json", arguments_.json, "One JSON object a line instead");
  ls->add_option("--limit", arguments_.limit, "At most so many records");
  auto* show = add(quarantine, "show", "Everything about each, with the head of its payload",
                   &quarantine_show);
  show->add_option("--limit", arguments_.limit, "At most so many records");
  auto* out = add(quarantine, "export", "As NDJSON, lossless, like penstock spool export",
                  &quarantine_export);
  out->add_option("-o,--output", arguments_.file, "Write to this file instead of standard output");
  auto* replay =
      add(quarantine, "replay",
          "Send again, under the same origin and number, after the fix of what was wrong",
          &quarantine_replay);
  replay->add_option("--table", arguments_.target.table, "To this table instead");
  replay->add_option("--route", arguments_.target.route,
                     "By the columns of this route instead; for records that no route took, or one "
                     "that is gone");
  replay->add_option("-c,--config", arguments_.config,
                     std::string("Where the routes have to be; default ") + kSystemConfig +
                         " if that is the configuration of this spool");
  auto* discard =
      add(quarantine, "discard", "Throw away; they are counted as discarded", &quarantine_discard);
  for (auto* command : {replay, discard})
    command->add_flag("--all", arguments_.all, "Everything in the quarantine, without a filter");
}

CLI::App* QuarantineCommand::add(CLI::App& quarantine, const char* name, const char* help,
                                 int (*perform)(const QuarantineArguments&)) {
  auto* command = quarantine.add_subcommand(name, help);
  command->add_option("DIR", arguments_.dir, "The spool's directory")->required();
  command->add_option("--lane", arguments_.filter.lane, "Only of this lane (its number)");
  command->add_option("--reason", arguments_.filter.reason, "Only with this in the reason");
  command->add_option("--seq", arguments_.seqs, "Only this number, or N-M");
  command->callback([this, perform] { chosen_ = perform; });
  return command;
}

std::optional<int> QuarantineCommand::run() const {
  if (chosen_ == nullptr) return std::nullopt;
  QuarantineArguments arguments = arguments_;
  if (!arguments.seqs.empty()) {
    const auto seqs = parse_seqs(arguments.seqs);
    if (!seqs) return report(usage("--seq: " + arguments.seqs + " is neither N nor N-M"));
    arguments.filter.seqs = *seqs;
  }
  if (changes(chosen_) && arguments.all == is_filtered(arguments)) {
    return report(usage(arguments.all ? "--all goes with no filter"
                                      : "say which: --lane, --reason, --seq, or --all"));
  }
  return chosen_(arguments);
}

}  // namespace penstock::cli
