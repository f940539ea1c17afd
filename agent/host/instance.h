// Instance: one configured input: a plugin instance, the host functions it calls, and the thread
// that calls it.
//
// Owner: PluginHost. Every plugin function except create, destroy and stats is called from the
// dispatcher thread of the instance, one at a time and never under a lock that emit takes; so a
// plugin that hangs in start or in on_durable stops only itself. Public functions are thread-safe
// and do not block, except wait_stopped and the destructor.
//
// A call of emit that breaks the ABI's contract is answered CLOSED, as are all after it, and the
// instance is failed: what it hands over cannot be trusted.
//
// Watermarks are coalesced: the plugin sees the newest. After wait_stopped returned false the
// plugin is stuck; the instance is then abandoned (never destroyed), because joining it could hang
// for ever.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/config/options.h"
#include "agent/host/instance_note.h"
#include "agent/host/plugin_library.h"
#include "agent/intake/sink.h"

namespace penstock::host {

enum class InstanceState { kStarting, kUp, kDegraded, kDown, kStopped, kFailed };
std::string_view to_string(InstanceState state);

struct InstanceStatus {
  std::string id;
  std::string plugin;
  InstanceState state = InstanceState::kStarting;
  std::string text;
};

class Instance {
 public:
  // Creates the plugin instance; kDenied with the plugin's reason when it refuses its options. What
  // the plugin wants remembered goes to `note_file`; empty: it can remember nothing.
  static Result<std::unique_ptr<Instance>> create(const PluginLibrary& library, std::string id,
                                                  std::string agent_id,
                                                  const std::vector<config::OptionValue>& values,
                                                  spool::SourceId source, intake::Sink& sink,
                                                  Log log, std::filesystem::path note_file = {});
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  void start();
  // True once the plugin has said how it stands (listening, connecting, failed); false at
  // `deadline`.
  bool wait_reported(MonoTime deadline);
  void durable(uint64_t up_to);
  void room();
  void quiesce();
  // True once quiesce has returned in the plugin; false at `deadline`.
  bool wait_quiesced(MonoTime deadline);
  // To be called after the last durable(): the plugin gets that first.
  void stop();
  bool wait_stopped(MonoTime deadline);
  // Gives the instance up: its thread and the plugin's memory stay as they are. For a plugin that
  // hangs.
  static void abandon(std::unique_ptr<Instance> instance) { (void)instance.release(); }

  spool::SourceId source() const { return source_; }
  InstanceStatus status() const;
  std::vector<std::pair<std::string, uint64_t>> stats() const;

 private:
  Instance(const PluginLibrary& library, std::string id, std::string agent_id,
           spool::SourceId source, intake::Sink& sink, Log log, std::filesystem::path note_file);

  static penstock_emit_status emit_entry(void* context, const penstock_record* records,
                                         size_t count, uint64_t* last_seq);
  static void flush_hint_entry(void* context);
  static void log_entry(void* context, penstock_log_level level, penstock_str text);
  static void state_entry(void* context, penstock_state state, penstock_str text);
  static penstock_emit_status set_aside_entry(void* context, const penstock_record* record,
                                              penstock_str reason, uint64_t* last_seq);
  static int remember_entry(void* context, penstock_str bytes);
  static size_t recall_entry(void* context, char* bytes, size_t capacity);

  void set_state(InstanceState state, std::string text);
  penstock_emit_status emit(const penstock_record* records, size_t count, uint64_t* last_seq,
                            const penstock_str* set_aside_for = nullptr);
  void misuse(std::string_view what);
  void notify();
  void dispatch();
  bool call_start();

  const penstock_plugin plugin_;  // a copy: an abandoned instance outlives the library
  const std::string id_;
  const std::string agent_id_;
  const spool::SourceId source_;
  intake::Sink& sink_;
  const Log log_;
  InstanceNote note_;
  penstock_host functions_{};
  void* plugin_instance_ = nullptr;
  std::thread dispatcher_;
  std::atomic<bool> full_answered_{false};  // the last emit answered FULL
  std::atomic<bool> misused_{false};        // emit was called against the contract
  std::atomic<bool> room_{false};           // there has been room since that emit began

  mutable std::mutex mutex_;  // guards all below; never held while the plugin or the sink is called
  std::condition_variable changed_;
  bool start_wanted_ = false;
  bool reported_ = false;
  uint64_t durable_ = 0;
  bool quiesce_wanted_ = false;
  bool quiesced_ = false;
  bool stop_wanted_ = false;
  bool end_wanted_ = false;
  InstanceState state_ = InstanceState::kStarting;
  std::string state_text_;
};

}  // namespace penstock::host
