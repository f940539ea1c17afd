// Everything that can be found wrong with a configuration without running it.
#pragma once

#include <filesystem>
#include <vector>

#include "agent/config/config.h"
#include "agent/host/crash_notes.h"

namespace penstock::app {

// What `run` lets pass as a warning so that the other inputs run, as `check` words it.
struct Tolerated {
  std::vector<config::Problem> problems;  // inputs that their plugins refuse, plugins not found
  bool left_out = false;  // a plugin is, because it crashed: nobody has checked its inputs

  bool nothing() const { return problems.empty() && !left_out; }
};

// Adds to what loading has found what the plugins and the modules find, and sorts all by position.
// An input whose plugin cannot be loaded or refuses it is an error for `check`, and for `run`
// (`tolerate_plugins`) only a warning: it must not stop the other inputs; likewise a CA file that
// cannot be read. `crashes`: plugins that are left out.
Tolerated check_loaded(config::Loaded& loaded, const std::filesystem::path& plugin_dir,
                       bool tolerate_plugins, host::CrashNotes* crashes = nullptr);

}  // namespace penstock::app
