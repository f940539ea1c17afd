// `penstock quarantine ls | show | export | replay | discard DIR`: the records that could not be
// sent, in a spool that no agent is using. A running agent's spool is refused by its lock.
//
// Exit codes as for `penstock spool`: 0 done; 1 done, but some were left where they are; 2 nothing
// done: wrong use, no spool there, in use, not permitted, damaged.
#pragma once

#include <optional>
#include <string>

#include "agent/cli/spool_command.h"
#include "agent/spool/offline_quarantine.h"

namespace penstock::cli {

struct QuarantineArguments {
  std::filesystem::path dir;
  std::filesystem::path file;  // export
  spool::QuarantineFilter filter;
  std::string seqs;  // as written: N or N-M
  spool::ReplayTarget target;
  uint64_t limit = 0;            // 0: all
  std::filesystem::path config;  // replay: that names the routes; empty: the system's
  bool json = false;
  bool all = false;  // replay and discard of everything there is
};

class QuarantineCommand {
 public:
  explicit QuarantineCommand(CLI::App& app);
  // After parsing: the exit code, or nullopt when it was another command.
  std::optional<int> run() const;

 private:
  CLI::App* add(CLI::App& quarantine, const char* name, const char* help,
                int (*perform)(const QuarantineArguments&));

  QuarantineArguments arguments_;
  int (*chosen_)(const QuarantineArguments&) = nullptr;
};

// Each prints, and returns the exit code.
int quarantine_ls(const QuarantineArguments& arguments);
int quarantine_show(const QuarantineArguments& arguments);

}  // namespace penstock::cli
