// Instance: one configured input: a plugin instance, the host functions it calls, and the thread
// that calls it.
//
// Owner: PluginHost. Every plugin function but stats is called from the dispatcher thread of the
// instance, one at a time and never under a lock that emit takes; so a plugin that hangs, in
// whatever call, stops only itself. Public functions are thread-safe and do not block, except
// create, the waits and the destructor.
//
// A call of emit that breaks the ABI's contract is answered CLOSED, as are all after it, and the
// instance is failed: what it hands over cannot be trusted.
//
// Watermarks are coalesced: the plugin sees the newest. After wait_stopped or wait_destroyed
// returned false the plugin is stuck; the instance is then abandoned (never destroyed), because
// joining it could hang for ever.
//
// What the plugin's counters say is lost is logged once a minute, and before the end.
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
#include "agent/host/loss_book.h"
#include "agent/host/plugin_library.h"
#include "agent/host/secret_reader.h"
#include "agent/intake/sink.h"

namespace penstock::host {

enum class InstanceState { kStarting, kUp, kDegraded, kDown, kStopped, kFailed };
std::string_view to_string(InstanceState state);
constexpr bool is_trouble(InstanceState state) {
  return state == InstanceState::kDown || state == InstanceState::kDegraded ||
         state == InstanceState::kFailed;
}

struct InstanceStatus {
  std::string id;
  std::string plugin;
  InstanceState state = InstanceState::kStarting;
  std::string text;
};

struct InstanceLimits {
  Millis create{5000};         // no plugin does I/O in it
  Millis loss_look{10'000};    // between two looks at what was lost
  Millis loss_report{60'000};  // between two log lines about it
};

// What the plugin reaches on disk through the host.
struct InstanceFiles {
  std::filesystem::path note;  // what it wants remembered; empty: it can remember nothing
  std::filesystem::path lost;  // what it has lost; empty: counted for this run only
  SecretReader secrets;
};

class Instance {
 public:
  // Creates the plugin instance; kDenied with the plugin's reason when it refuses its options, or
  // when it does not return in time: it is abandoned then.
  static Result<std::unique_ptr<Instance>> create(const PluginLibrary& library, std::string id,
                                                  std::string agent_id,
                                                  const std::vector<config::OptionValue>& values,
                                                  spool::SourceId source, intake::Sink& sink,
                                                  Log log, InstanceFiles files = {},
                                                  InstanceLimits limits = {});
  ~Instance();  // joins the dispatcher: after wait_destroyed, or it may hang
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
  // True once stop has returned in the plugin and it has said that it is done (or has failed).
  bool wait_stopped(MonoTime deadline);
  // The plugin's destroy follows, after which none of its code runs.
  void end();
  bool wait_destroyed(MonoTime deadline);
  // end(), and the end of the instance. False: the plugin hung and was abandoned.
  static bool discard(std::unique_ptr<Instance> instance, MonoTime deadline);
  // Gives the instance up: its thread and the plugin's memory stay as they are. For a plugin that
  // hangs.
  static void abandon(std::unique_ptr<Instance> instance) { (void)instance.release(); }

  spool::SourceId source() const { return source_; }
  InstanceStatus status() const;
  std::vector<std::pair<std::string, uint64_t>> stats() const;  // none before and after its life

 private:
  Instance(const PluginLibrary& library, std::string id, std::string agent_id,
           spool::SourceId source, intake::Sink& sink, Log log, InstanceFiles files,
           InstanceLimits limits);

  static penstock_emit_status emit_entry(void* context, const penstock_record* records,
                                         size_t count, uint64_t* last_seq);
  static void flush_hint_entry(void* context);
  static void log_entry(void* context, penstock_log_level level, penstock_str text);
  static void state_entry(void* context, penstock_state state, penstock_str text);
  static penstock_emit_status set_aside_entry(void* context, const penstock_record* record,
                                              penstock_str reason, uint64_t* last_seq);
  static int remember_entry(void* context, penstock_str bytes);
  static size_t recall_entry(void* context, char* bytes, size_t capacity);
  static size_t secret_entry(void* context, penstock_str name, char* bytes, size_t capacity);

  void set_state(InstanceState state, std::string text);
  penstock_emit_status emit(const penstock_record* records, size_t count, uint64_t* last_seq,
                            const penstock_str* set_aside_for = nullptr);
  void misuse(std::string_view what);
  void notify();
  bool wait_created(MonoTime deadline);
  std::vector<penstock_stat> read_stats() const;

  // The dispatcher: instance_dispatch.cpp
  struct Round {  // what is to be done next, in this order
    bool start = false;
    bool durable = false;
    bool room = false;
    bool quiesce = false;
    bool stop = false;
    bool losses = false;
    uint64_t up_to = 0;
    bool any() const { return start || durable || room || quiesce || stop || losses; }
  };
  void dispatch();
  bool call_create();
  void serve();
  bool room_due() const { return started_ && full_answered_ && room_ && !stop_wanted_; }
  Round next_round();
  void perform(const Round& round);
  void note_done(const Round& round);
  bool call_start();
  void look_at_losses(bool say);

  const penstock_plugin plugin_;  // a copy: an abandoned instance outlives the library
  const std::string id_;
  const std::string agent_id_;
  const spool::SourceId source_;
  intake::Sink& sink_;
  const Log log_;
  const InstanceLimits limits_;
  InstanceNote note_;
  const SecretReader secrets_;
  penstock_host functions_{};
  void* plugin_instance_ = nullptr;
  std::thread dispatcher_;
  std::atomic<bool> full_answered_{false};  // the last emit answered FULL
  std::atomic<bool> misused_{false};        // emit was called against the contract
  std::atomic<bool> room_{false};           // there has been room since that emit began

  // The dispatcher's alone
  std::vector<config::OptionValue> values_;  // until create has returned
  bool started_ = false;
  bool stop_told_ = false;
  bool quiesce_told_ = false;
  uint64_t durable_told_ = 0;
  MonoTime next_room_{};
  MonoTime next_loss_look_{};
  MonoTime next_loss_report_{};
  LossBook losses_;

  mutable std::mutex mutex_;  // guards all below; never held while the plugin or the sink is called
  std::condition_variable changed_;
  enum class Life { kCreating, kRefused, kAlive, kDestroyed };
  Life life_ = Life::kCreating;
  std::string refusal_;
  bool start_wanted_ = false;
  bool reported_ = false;
  uint64_t durable_ = 0;
  bool quiesce_wanted_ = false;
  bool quiesced_ = false;
  bool stop_wanted_ = false;
  bool stop_returned_ = false;
  bool end_wanted_ = false;
  InstanceState state_ = InstanceState::kStarting;
  std::string state_text_;
};

}  // namespace penstock::host
