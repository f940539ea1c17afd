// A plugin under the conformance kit: what `penstock plugins test` does.
//
// Runs the plugin in this process, with its own threads: fork first when a crash must not count.
// The main thread. The kit itself: plugins/sdk/conformance.h.
#pragma once

#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/host/plugin_library.h"

namespace penstock::host {

struct TrialFinding {
  std::string fault;  // "early acknowledgement"
  std::string text;
};

struct TrialReport {
  std::vector<TrialFinding> findings;
  std::vector<std::string> notes;  // what could not be tested
  uint64_t records = 0;
};

struct TrialSettings {
  // A shell command that plays the device: started once the plugin is up, ended (SIGTERM, to its
  // process group) when it has to be silent. Each line `ack` on its output is one message that the
  // plugin acknowledged. Empty: the plugin makes its records itself.
  std::string source;
  Millis record{5000};  // how long to wait for the source's next record
};

TrialReport try_plugin(const PluginLibrary& library, const std::vector<config::OptionValue>& values,
                       const TrialSettings& settings);

}  // namespace penstock::host
