// An agent without its way out: one input of a plugin as the agent loads it, its host, intake and a
// spool on disk, where what is committed counts as delivered at once.
//
// One owner; the counters from any thread. Throws std::runtime_error when a part does not come up.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>

#include "agent/config/config.h"
#include "agent/host/plugin_host.h"
#include "agent/intake/intake.h"
#include "agent/spool/spool.h"

namespace penstock::bench {

struct InputsRigOptions {
  std::filesystem::path dir;
  std::string input;             // its options in YAML's flow form: "plugin: udp, listen: ..."
  std::string memory = "48MiB";  // memory_limit; the default
  bool instant = false;          // the input is told "durable" as soon as a record is queued
};

class InputsRig final : private spool::Listener {
 public:
  explicit InputsRig(const InputsRigOptions& options);
  ~InputsRig() override;
  InputsRig(const InputsRig&) = delete;

  // Until the input says "up" or "degraded"; throws with what it said instead.
  void wait_up();
  uint64_t durable() const { return durable_.load(); }  // records of the input
  // False when it did not get there in time.
  bool wait_durable(uint64_t records, Millis within);
  uint64_t stat(const std::string& name) const;
  host::InstanceStatus status() const { return host_->status().at(0); }

 private:
  void on_durable(spool::SourceId source, uint64_t up_to) override;
  void on_committed(spool::LaneId lane, spool::Seq up_to) override;
  void on_room() override { host_->room(); }
  void on_fault(const Error& error) override;

  config::Config config_;
  host::PluginCatalog catalog_;
  std::unique_ptr<spool::Spool> spool_;
  std::unique_ptr<intake::Intake> intake_;
  std::unique_ptr<intake::Sink> instant_;
  std::unique_ptr<host::PluginHost> host_;
  std::atomic<uint64_t> durable_{0};
};

// While one exists every sync of this process takes so long and writes nothing: a card's time
// without its noise.
class SimulatedSync {
 public:
  explicit SimulatedSync(Millis each);
  ~SimulatedSync();
  SimulatedSync(const SimulatedSync&) = delete;
};

}  // namespace penstock::bench
