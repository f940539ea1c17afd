// `penstock schema fetch | show | sql`: the tables as the agent sees them.
//
// `show` gives, for each route that writes to the table, the descriptor its streams are opened with
// and the schema's name that its quarantined records carry.
//
// Main thread. Reads the configuration; only `fetch` asks the workspace. What a running agent keeps
// is read from its folder, which needs no lock.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace penstock::cli {

class SchemaCommand {
 public:
  // `app` outlives this.
  SchemaCommand(CLI::App& app, std::string version);

  // The exit code, when the command line asked for this: 0; 1 when the workspace did not answer; 2
  // for wrong use or a wrong configuration. Call after parsing.
  std::optional<int> run() const;

 private:
  int fetch() const;
  int show() const;
  int sql() const;

  std::string version_;
  std::filesystem::path config_ = "/etc/penstock/penstock.yaml";
  std::string table_;
  std::string route_;
  std::string principal_;
  CLI::App* fetch_ = nullptr;
  CLI::App* show_ = nullptr;
  CLI::App* sql_ = nullptr;
};

}  // namespace penstock::cli
