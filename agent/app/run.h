// The agent as a process: configuration in, signals handled, service manager told, exit code out.
#pragma once

#include <filesystem>

#include "agent/app/agent.h"

namespace penstock::app {

// sysexits: a configuration that cannot be used (systemd must not restart for that), a failure
// worth a restart.
inline constexpr int kExitConfig = 78;
inline constexpr int kExitFailure = 1;

// Runs until SIGTERM or SIGINT (then 0). With a configuration that has errors, or that the agent
// does not start with, it runs on the last good one of settings.state_dir; without one it returns
// kExitConfig or kExitFailure. A configuration whose inputs the plugins refuse in part is used only
// where there is no last good one, and not kept as such. Call it from main before any thread
// exists: it blocks the signals for all of them.
int run_agent(const std::filesystem::path& config_file, const AgentSettings& settings);

}  // namespace penstock::app
