// PluginLibrary: one loaded plugin file and its checked descriptor.
//
// Loading runs the file's static initialisers, nothing else. The library stays loaded for the life
// of the process: a plugin's threads or atexit handlers may outlive its last instance.
// `descriptor()` is the plugin's own as far as it goes, with zeros for what an older minor version
// does not have; what it points at is static storage of the plugin. Not thread-safe; used while
// wiring up.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/config/options.h"
#include "plugins/sdk/penstock_plugin.h"

namespace penstock::host {

class PluginLibrary {
 public:
  // kDenied with what is wrong and what to do: file missing or not loadable, no descriptor symbol,
  // another ABI major version, an incomplete descriptor.
  static Result<PluginLibrary> load(const std::filesystem::path& file);
  // Of a plugin that is part of this program; kDenied with what is wrong with its descriptor.
  static Result<PluginLibrary> of(const penstock_plugin* descriptor);

  const penstock_plugin& descriptor() const { return descriptor_; }
  std::string name() const { return descriptor_.name; }
  const std::vector<config::OptionSpec>& options() const { return options_; }

 private:
  explicit PluginLibrary(const penstock_plugin* descriptor);
  penstock_plugin descriptor_{};
  std::vector<config::OptionSpec> options_;
};

// Checks a descriptor without loading anything: `problem` in words, empty when it is fine. For
// load() and its tests.
std::string descriptor_problem(const penstock_plugin* descriptor);

// The names of the plugins in `dir`, sorted; empty when it cannot be read.
std::vector<std::string> list_plugins(const std::filesystem::path& dir);

// `<dir>/<plugin>.so` for a name that is a plain word; kDenied naming the plugins that are there
// otherwise.
Result<PluginLibrary> find_plugin(const std::filesystem::path& dir, const std::string& plugin);

}  // namespace penstock::host
