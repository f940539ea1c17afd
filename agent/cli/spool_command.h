// `penstock spool ...`: looks into a spool at rest, takes records out and puts them in, checks and
// repairs. A running agent's spool is refused by its lock.
//
// Exit codes: 0 done; 1 done, but something is wrong or was left out, or the work failed on the
// way; 2 nothing done: wrong use, no spool there, in use, not permitted, a newer format.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/spool/offline_quarantine.h"

namespace CLI {
class App;
}

namespace penstock::cli {

struct SpoolArguments {
  std::filesystem::path dir;
  std::filesystem::path file;  // import: what to read; export: where to; empty or "-": the stream
  std::filesystem::path into;  // repair
  std::optional<uint32_t> lane;
  std::optional<std::string> table;
  uint64_t from = 1;
  uint64_t limit = 0;  // 0: all
  bool all = false;
  bool pending = false;
  bool quarantine = false;
  bool json = false;
  // Export: nothing but what is in the quarantine and passes.
  std::optional<spool::QuarantineFilter> only_quarantine;
};

class SpoolCommand {
 public:
  explicit SpoolCommand(CLI::App& app);
  // After parsing: the exit code, or nullopt when it was another command.
  std::optional<int> run() const;

 private:
  CLI::App* add(CLI::App& spool, const char* name, const char* help,
                int (*perform)(const SpoolArguments&));
  void add_selection(CLI::App& command);

  SpoolArguments arguments_;
  int (*chosen_)(const SpoolArguments&) = nullptr;
};

// The spool of `arguments`; kDenied also when it lacks the lane that is asked for.
Result<spool::OfflineSpool> open_spool(const SpoolArguments& arguments);

// One each, in the files named after them (stat, ls and fsck in spool_view.cpp). They print, and
// return the exit code.
int spool_stat(const SpoolArguments& arguments);
int spool_ls(const SpoolArguments& arguments);
int spool_fsck(const SpoolArguments& arguments);
int spool_export(const SpoolArguments& arguments);
int spool_import(const SpoolArguments& arguments);
int spool_repair(const SpoolArguments& arguments);

}  // namespace penstock::cli
