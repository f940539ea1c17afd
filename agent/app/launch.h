// From a configuration file to an agent that runs: with the last good configuration where the
// present one cannot be used. Main thread.
#pragma once

#include <memory>

#include "agent/app/agent.h"
#include "agent/app/last_good.h"
#include "agent/host/crash_notes.h"

namespace penstock::app {

struct Launch {
  config::Loaded loaded;
  std::string instead_of;  // what is wrong with the present configuration; empty: `loaded` is that
  std::unique_ptr<host::CrashNotes> crashes;  // may be missing; outlives the agent
  std::unique_ptr<Agent> agent;               // started
  int exit_code = 0;                          // without an agent
};

// Falls back when the file has errors, and when the agent does not start with it.
Launch launch(const std::filesystem::path& config_file, const AgentSettings& settings,
              const LastGood& last_good);

Log log_of(const config::Loaded& loaded);

}  // namespace penstock::app
