// PluginHost: all input instances of the agent, and the order in which they stop.
//
// Owner: the composition. add() before start(); afterwards durable() and room() may be called from
// any thread (they only leave a note for the dispatchers). The stop steps follow agent/DESIGN.md,
// "Stopping"; each waits up to its deadline and an instance that misses it is named, logged and
// left behind, so that one plugin cannot keep the agent from stopping.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/host/instance.h"
#include "agent/host/plan.h"

namespace penstock::host {

class PluginHost {
 public:
  // What inputs want remembered over restarts, and what they have lost, goes to files in
  // `notes_dir`; empty: nowhere.
  PluginHost(std::string agent_id, Log log, std::filesystem::path notes_dir = {},
             InstanceLimits limits = {})
      : agent_id_(std::move(agent_id)),
        log_(std::move(log)),
        notes_dir_(std::move(notes_dir)),
        limits_(limits) {}
  ~PluginHost();
  PluginHost(const PluginHost&) = delete;
  PluginHost& operator=(const PluginHost&) = delete;

  // Creates the instance; when the plugin cannot be had, refuses or hangs, says why once and goes
  // on without it.
  void add(const PlannedInput& input, spool::SourceId source, intake::Sink& sink);
  // Returns once every input has said how it stands, or after `limit`: one that hangs holds up
  // nothing.
  void start(Millis limit);

  void durable(spool::SourceId source, uint64_t up_to);
  void room();

  void quiesce(Millis limit);  // sources are no longer read
  void stop(Millis limit);     // acknowledgements flushed, plugins said goodbye
  // After it no plugin code runs, but for instances left behind.
  void destroy(Millis limit = kDestroyLimit);

  static constexpr Millis kDestroyLimit{3000};

  std::vector<InstanceStatus> status() const;
  // (instance, counter) -> value
  std::vector<std::tuple<std::string, std::string, uint64_t>> stats() const;

 private:
  Instance* find(spool::SourceId source) const;
  void end_all(Millis limit);
  void leave_behind(std::unique_ptr<Instance>& instance, std::string_view step);

  const std::string agent_id_;
  const Log log_;
  const std::filesystem::path notes_dir_;
  const InstanceLimits limits_;
  std::vector<std::unique_ptr<Instance>> instances_;  // fixed between start() and destroy()
  std::vector<InstanceStatus> failed_;                // inputs that could not be created
};

}  // namespace penstock::host
