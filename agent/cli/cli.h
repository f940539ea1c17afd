// The command line: `penstock run | check | audit | quarantine | schema | spool | version`.
#pragma once

#include "agent/app/agent.h"

namespace penstock::cli {

// Parses the arguments and does what they say; returns the process's exit code. 2: wrong use or a
// wrong configuration.
int run(int argc, char** argv);

// The same with settings of one's own; plugin_dir and version are filled in. For tests that need an
// agent that breaks a promise.
int run(int argc, char** argv, app::AgentSettings settings);

}  // namespace penstock::cli
