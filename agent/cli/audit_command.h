// `penstock audit --sql`: prints the query that finds what is missing in a table.
//
// Reads the configuration and, while no agent runs on it, the spool; asks nobody.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "agent/base/result.h"

namespace CLI {
class App;
}

namespace penstock::cli {

class AuditCommand {
 public:
  // `app` outlives this.
  explicit AuditCommand(CLI::App& app);

  // The exit code, when the command line asked for this: 0; 1 when the ledger could not be read and
  // the query knows nothing of it; 2 for wrong use or a wrong configuration. Call after parsing.
  std::optional<int> run() const;

 private:
  struct Sources {
    std::filesystem::path spool;  // empty: none
    std::set<std::string> tables;
  };
  Result<Sources> sources() const;

  CLI::App* audit_ = nullptr;
  bool sql_ = false;
  std::filesystem::path config_;
  std::filesystem::path spool_;
  std::string table_;
};

}  // namespace penstock::cli
