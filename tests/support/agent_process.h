// The agent binary as a child process.
//
// Owned by one scope, main thread (see process.h). All starts append to one log, so a whole life
// with kill and restart can be read in order.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/process.h"

namespace penstock::test {

struct AgentSetup {
  std::filesystem::path binary;
  std::filesystem::path config;
  std::filesystem::path plugin_dir;
  std::filesystem::path log;
  std::vector<std::pair<std::string, std::string>> env;
};

class AgentProcess {
 public:
  explicit AgentProcess(AgentSetup setup) : setup_(std::move(setup)) {}

  // Starts it and returns at once. Throws std::runtime_error when the binary cannot be executed.
  void start();
  // True once the agent has said that all its parts run; false when it ended or the deadline
  // passed.
  bool wait_ready(Millis within = std::chrono::seconds(30));
  // SIGKILL, and gone on return.
  void kill_now();
  // SIGTERM; the exit code, or nothing when it did not stop in time (it is killed then).
  std::optional<int> stop(Millis within = std::chrono::seconds(30));

  bool running() { return process_ && process_->running(); }
  bool wait_for_log(std::string_view text, Millis within);
  std::string log() const { return process_ ? process_->output() : ""; }
  pid_t pid() const { return process_ ? process_->pid() : -1; }
  const AgentSetup& setup() const { return setup_; }

 private:
  AgentSetup setup_;
  std::unique_ptr<Process> process_;
};

}  // namespace penstock::test
