// From configured inputs to what is needed to create them: the plugin of each and its checked
// option values.
//
// Loads plugin files (through PluginCatalog), creates nothing. For `penstock check` and the start
// of the agent alike, so that both say the same. Wiring time only, one thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/host/crash_notes.h"
#include "agent/host/plugin_library.h"
#include "agent/host/secret_reader.h"

namespace penstock::host {

// The plugins of one directory, each loaded at most once.
class PluginCatalog {
 public:
  // `crashes`, if there are any, outlive this: what they leave out is not loaded.
  explicit PluginCatalog(std::filesystem::path dir, CrashNotes* crashes = nullptr)
      : dir_(std::move(dir)), crashes_(crashes) {}
  // The pointer lives as long as the catalog. kDenied as of find_plugin, the same each time.
  Result<const PluginLibrary*> get(const std::string& plugin);

 private:
  Result<PluginLibrary> load(const std::string& plugin);

  std::filesystem::path dir_;
  CrashNotes* crashes_;
  std::map<std::string, Result<PluginLibrary>> loaded_;
};

struct PlannedInput {
  const config::Input* input = nullptr;
  const PluginLibrary* library = nullptr;  // null: `failure` says why
  std::vector<config::OptionValue> values;
  SecretReader secrets;   // among them
  bool complete = false;  // the option table found nothing wrong
  std::string failure;
};

// One entry per enabled input, in order. What the option tables refuse is appended to `problems`; a
// plugin that cannot be loaded is a failure of its input only.
std::vector<PlannedInput> plan_inputs(const config::Config& config, PluginCatalog& catalog,
                                      std::vector<config::Problem>& problems);

}  // namespace penstock::host
