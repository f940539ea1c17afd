// Everything that can be found wrong with a configuration without running it.
#pragma once

#include <filesystem>
#include <vector>

#include "agent/config/config.h"
#include "agent/host/crash_notes.h"

namespace penstock::app {

// Loads `file` and the plugins it names. All problems at once, sorted as found; an input whose
// plugin cannot be loaded is an error for `check`, and for `run` (`tolerate_plugins`) only a
// warning: it must not stop the other inputs. `crashes`: plugins that are left out.
config::Loaded check_config(const std::filesystem::path& file,
                            const std::filesystem::path& plugin_dir, bool tolerate_plugins,
                            const config::Environment& environment = config::system_environment(),
                            host::CrashNotes* crashes = nullptr);

}  // namespace penstock::app
