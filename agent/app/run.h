// The agent as a process: configuration in, signals handled, service manager told, exit code out.
#pragma once

#include <filesystem>

#include "agent/app/agent.h"

namespace penstock::app {

// sysexits: a configuration that cannot be used (systemd must not restart for that), a failure
// worth a restart.
inline constexpr int kExitConfig = 78;
inline constexpr int kExitFailure = 1;

// Runs until SIGTERM or SIGINT (then 0) or until the spool fails (kExitFailure). Call it from main
// before any thread exists: it blocks the signals for all of them.
int run_agent(const std::filesystem::path& config_file, AgentSettings settings);

}  // namespace penstock::app
