// `penstock plugins ls | show | test`: which inputs there are, what they take, and whether one
// keeps the promises of the plugin ABI.
//
// Main thread. Loads plugin files, which runs their static initialisers; `test` runs the plugin in
// a child process. Reads no configuration.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace penstock::cli {

class PluginsCommand {
 public:
  // `app` outlives this.
  PluginsCommand(CLI::App& app, std::filesystem::path plugin_dir);

  // The exit code, when the command line asked for this: 0; 1 when `test` found something or `ls` a
  // plugin that cannot be used; 2 for wrong use. Call after parsing.
  std::optional<int> run() const;

 private:
  int list() const;
  int show() const;
  int test() const;

  std::filesystem::path dir_;
  std::string plugin_;
  std::string format_ = "text";
  std::string options_;
  std::string source_;
  int wait_s_ = 5;
  CLI::App* list_ = nullptr;
  CLI::App* show_ = nullptr;
  CLI::App* test_ = nullptr;
};

}  // namespace penstock::cli
