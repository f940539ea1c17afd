// From a configuration file to an agent that runs: with the last good configuration where the
// present one cannot be used. Main thread.
#pragma once

#include <memory>

#include "agent/app/agent.h"
#include "agent/app/check.h"
#include "agent/app/last_good.h"
#include "agent/host/crash_notes.h"

namespace penstock::app {

struct Launch {
  config::Loaded loaded;
  Tolerated tolerated;     // of `loaded`
  std::string instead_of;  // what is wrong with the present configuration; empty: `loaded` is that
  std::unique_ptr<host::CrashNotes> crashes;  // may be missing; outlives the agent
  std::unique_ptr<Agent> agent;               // started
  int exit_code = 0;                          // without an agent
};

// Falls back, to a copy of the same main file, when the file has errors, when the agent does not
// start with it, and when a plugin refuses what is in it and the copy is without such a flaw.
Launch launch(const std::filesystem::path& config_file, const AgentSettings& settings,
              const LastGood& last_good);

Log log_of(const config::Loaded& loaded);

}  // namespace penstock::app
