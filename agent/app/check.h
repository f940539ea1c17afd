// Everything that can be found wrong with a configuration without running it.
#pragma once

#include <filesystem>
#include <vector>

#include "agent/config/config.h"
#include "agent/host/crash_notes.h"

namespace penstock::app {

// Adds to what loading has found what the plugins and the modules find, and sorts all by position.
// An input whose plugin cannot be loaded is an error for `check`, and for `run`
// (`tolerate_plugins`) only a warning: it must not stop the other inputs. `crashes`: plugins that
// are left out.
void check_loaded(config::Loaded& loaded, const std::filesystem::path& plugin_dir,
                  bool tolerate_plugins, host::CrashNotes* crashes = nullptr);

}  // namespace penstock::app
