// Agent: builds everything from a checked configuration, hands it down, and takes it down in the
// right order.
//
// Composition only: reading this file and agent.cpp shows the whole program. start() and stop() on
// the main thread.
//
// Threads: the spool's (SQLite), one agent thread (lanes, timers), one dispatcher per input, the
// plugins' and gRPC's own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/config/config.h"
#include "agent/host/plan.h"
#include "agent/intake/sink.h"

namespace penstock::app {

struct AgentSettings {
  std::filesystem::path plugin_dir;
  std::filesystem::path state_dir;  // for the last good configuration; empty: none is kept
  // Emptied by a boot: for the sign that the clock was set; empty: none is kept.
  std::filesystem::path runtime_dir;
  std::string version;
  host::CrashNotes* crashes = nullptr;  // outlives the agent; null: no plugin is left out
  Millis lanes_stop_limit{8'000};       // more than any lane takes
  // Puts another sink between the plugins and intake; for tests that break a promise on purpose.
  // `durable` tells an input instance that its records are safe.
  using Durable = std::function<void(spool::SourceId, uint64_t up_to)>;
  std::function<std::unique_ptr<intake::Sink>(intake::Sink&, Durable durable)> wrap_sink;
};

class Agent {
 public:
  // `config` has passed check (check.h). `on_fault` is called from any thread when no file of the
  // spool can be written; the spool keeps trying by itself, and records wait at their sources.
  Agent(config::Config config, AgentSettings settings, std::function<void(const Error&)> on_fault,
        Log log);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // kDenied or kCorrupt when the spool cannot be opened; every other trouble belongs to one input,
  // lane or destination and is only logged.
  Result<void> start();

  // The stop sequence of agent/DESIGN.md: sources no longer read, last commit, acknowledgements
  // flushed, late server acknowledgements taken, cursors committed. The backlog is not drained.
  // Bounded unless the spool's disk hangs: an agent thread that hangs is named and left behind,
  // with all it may be using. Nothing but the destructor comes after it.
  void stop();

  // Runs `done` on the agent thread: proof that it makes progress.
  void touch(std::function<void()> done);
  // Spool::busy_since.
  std::optional<MonoTime> spool_busy_since() const;

  // Inputs that do not run and will not by themselves, a line each: which and why. After start.
  std::vector<std::string> failed_inputs() const;

 private:
  struct Parts;
  void leave_behind();
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock::app
