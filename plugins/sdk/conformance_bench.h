// The host's side of the conformance kit: answers a plugin's calls as told, and keeps what they
// were. Part of the kit, not of its face.
//
// Owned by the Report through shared_ptr, so that a late call finds it. All functions are
// thread-safe; nothing is called back under its lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "conformance.h"

namespace penstock::sdk {

class ConformanceBench {
 public:
  enum class Phase { kCreated, kStarted, kStopped, kDestroyed };

  ConformanceBench();
  ConformanceBench(const ConformanceBench&) = delete;
  ConformanceBench& operator=(const ConformanceBench&) = delete;

  const penstock_host* host() const { return &host_; }

  void phase(Phase phase);
  void answer(penstock_emit_status status);
  // The next call whose first payload is not that of the call before: then OK again.
  void answer_too_big_once();
  // Called in the plugin's thread inside its next emit, once, with the call's last number, before
  // emit returns.
  void during_next_emit(std::function<void(uint64_t last_seq)> hook);
  // Takes a hook back that was not called, and waits for one that is.
  void wait_no_hook();

  // Until so many records were taken, calls refused, ...; false: not within `limit`.
  bool wait_taken(uint64_t records, std::chrono::milliseconds limit) const;
  bool wait_refused(uint64_t calls, std::chrono::milliseconds limit) const;
  bool wait_too_big(std::chrono::milliseconds limit) const;  // that answer was given
  bool wait_state(penstock_state state, std::chrono::milliseconds limit) const;
  bool wait_reported(std::chrono::milliseconds limit) const;
  bool wait_offered_again(std::chrono::milliseconds limit) const;
  bool wait_late_call(std::chrono::milliseconds limit) const;
  bool wait_stopped_emit(std::chrono::milliseconds limit) const;

  uint64_t taken() const;
  uint64_t refused() const;          // calls answered FULL or CLOSED since answer()
  uint64_t full_repeats() const;     // records answered FULL that had been before, since answer()
  uint64_t too_big_repeats() const;  // calls with the payload that was too big, since
  uint64_t last_seq() const;
  std::string late_call() const;   // the first call after destroy; empty: none
  std::string bad_record() const;  // what was wrong with one
  uint64_t stopped_emits() const;  // emit calls after STOPPED

 private:
  static penstock_emit_status on_emit(void* self, const penstock_record* records, size_t count,
                                      uint64_t* last_seq);
  static void on_flush_hint(void* self);
  static void on_log(void* self, penstock_log_level level, penstock_str text);
  static void on_state(void* self, penstock_state state, penstock_str text);
  static penstock_emit_status on_set_aside(void* self, const penstock_record* record,
                                           penstock_str reason, uint64_t* last_seq);

  penstock_emit_status take(const penstock_record* records, size_t count, uint64_t* last_seq);
  void look_at(const penstock_record* records, size_t count);
  void note_owed(const penstock_record* records, size_t count);
  bool note_call(const char* name);
  bool too_big(std::string_view payload);
  bool wait(std::chrono::milliseconds limit, const std::function<bool()>& condition) const;

  penstock_host host_{};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Phase phase_ = Phase::kCreated;
  penstock_emit_status answer_ = PENSTOCK_EMIT_OK;
  std::function<void(uint64_t)> hook_;
  bool in_hook_ = false;
  bool too_big_next_ = false;
  // Hashes: memory that is kept from life to life would look like the plugin's.
  size_t last_payload_ = 0;     // first of the last call that was taken
  size_t too_big_payload_ = 0;  // 0: none yet
  uint64_t too_big_repeats_ = 0;
  uint64_t taken_ = 0;
  uint64_t refused_ = 0;
  uint64_t stopped_emits_ = 0;
  uint64_t seq_ = 0;
  uint64_t full_repeats_ = 0;
  std::set<std::string> owed_;  // payloads refused with FULL and not offered since
  bool reported_ = false;
  penstock_state state_ = PENSTOCK_STATE_STARTING;
  std::string late_call_;
  std::string bad_record_;
};

}  // namespace penstock::sdk
