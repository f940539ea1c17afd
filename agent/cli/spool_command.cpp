#include "agent/cli/spool_command.h"

#include <CLI/CLI.hpp>
#include <spdlog/fmt/fmt.h>

namespace penstock::cli {

SpoolCommand::SpoolCommand(CLI::App& app) {
  auto& spool = *app.add_subcommand(
      "spool", "Look into, export, import, check or repair a spool that no agent is using");
  spool.require_subcommand(1);
  spool.footer(
      "A spool is the directory with 1.db in it. Exit codes: 0 fine, 1 something is wrong "
      "or was\nleft out, 2 nothing done (wrong use, no spool, in use, not permitted).");

  auto* stat = add(spool, "stat", "Its files, lanes and the account of every record", &spool_stat);
  stat->add_flag("--json", arguments_.json, "One JSON object instead");

  auto* ls = add(spool, "ls", "The records that wait, oldest first in each lane", &spool_ls);
  add_selection(*ls);
  ls->add_option("--from", arguments_.from, "Begin at this sequence number")
      ->check(CLI::PositiveNumber);
  ls->add_option("--limit", arguments_.limit, "At most so many records");
  ls->add_flag("--all", arguments_.all, "Also delivered ones not yet removed, and the quarantine");

  auto* out =
      add(spool, "export", "Records as NDJSON, lossless, for penstock spool import", &spool_export);
  add_selection(*out);
  auto* all = out->add_flag("--all", arguments_.all, "Everything that is stored");
  out->add_flag("--pending", arguments_.pending, "Only records that wait (the default)")
      ->excludes(all);
  out->add_flag("--quarantine", arguments_.quarantine, "Also the quarantine, with its reasons");
  out->add_option("-o,--output", arguments_.file, "Write to this file instead of standard output");

  auto* in = spool.add_subcommand(
      "import", "Take an export into a spool, new or stopped; twice does no harm");
  in->add_option("FILE", arguments_.file, "What penstock spool export wrote; - for standard input")
      ->required();
  in->add_option("DIR", arguments_.dir, "The spool; made when it is not there")->required();
  in->callback([this] { chosen_ = &spool_import; });

  add(spool, "fsck", "Read everything and say what is wrong and what to do", &spool_fsck);

  auto* repair =
      add(spool, "repair", "Make a sound spool of a damaged one; the damaged files are kept",
          &spool_repair);
  repair->add_option("--into", arguments_.into,
                     "Make it there and leave DIR as it is (else it takes DIR's place)");
}

CLI::App* SpoolCommand::add(CLI::App& spool, const char* name, const char* help,
                            int (*perform)(const SpoolArguments&)) {
  auto* command = spool.add_subcommand(name, help);
  command->add_option("DIR", arguments_.dir, "The spool's directory")->required();
  command->callback([this, perform] { chosen_ = perform; });
  return command;
}

void SpoolCommand::add_selection(CLI::App& command) {
  auto* lane = command.add_option("--lane", arguments_.lane, "Only this lane (its number)");
  command.add_option("--table", arguments_.table, "Only lanes to this table")->excludes(lane);
}

std::optional<int> SpoolCommand::run() const {
  if (chosen_ == nullptr) return std::nullopt;
  return chosen_(arguments_);
}

Result<spool::OfflineSpool> open_spool(const SpoolArguments& arguments) {
  auto spool = spool::OfflineSpool::open(arguments.dir);
  if (spool && arguments.lane && spool->lane(*arguments.lane) == nullptr) {
    return Error{
        ErrorKind::kDenied,
        fmt::format("there is no lane {}; penstock spool stat lists them", *arguments.lane),
        {}};
  }
  return spool;
}

}  // namespace penstock::cli
