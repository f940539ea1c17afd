// A host for tests of the MQTT input with a spool that can be watched and stopped: emit only
// queues; a record is durable when a commit has covered it; on_durable is called from one
// dispatcher thread, as the real host does.
//
// The test owns it and keeps it longer than the input; detach() before the input goes. All
// functions: any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "plugins/sdk/penstock_plugin.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::test {

struct StoredRecord {
  uint64_t seq = 0;
  std::string topic;
  std::string payload;
  std::map<std::string, std::string> attributes;
  std::string reason;  // of what was set aside
};

class CommitHost {
 public:
  using Millis = std::chrono::milliseconds;
  // Asked under no lock, before anything is stored; `nth` counts the calls from 1.
  using Answer = std::function<penstock_emit_status(uint64_t nth, std::string_view payload)>;
  // Makes the records of one commit durable, takes as long as it likes; false: nothing became
  // durable, and it is tried again a moment later.
  using Commit = std::function<bool(const std::vector<StoredRecord>&)>;

  explicit CommitHost(std::string instance_id = "plc", std::string agent_id = "gw");
  CommitHost(const CommitHost&) = delete;
  CommitHost& operator=(const CommitHost&) = delete;
  ~CommitHost();

  sdk::Host face() const { return sdk::Host(&abi_); }
  void attach(sdk::Input& input);  // whom on_durable goes to
  void detach();                   // returns when no call is under way

  void set_max_emit_bytes(uint64_t bytes) { abi_.max_emit_bytes = bytes; }  // before start
  void be_of_version_1_0() { abi_.abi_minor = 0; }                          // before start
  // What the input keeps over restarts: a next life gets what the last one has left.
  void set_note(std::string note);
  // What the password is when the input asks for it again.
  void set_password(std::string password);
  uint64_t secrets_read() const { return secrets_read_.load(); }
  std::string note() const;
  void answer_with(Answer answer);
  // From now on commits run by themselves; without it only commit_now() commits.
  void commit_with(Commit commit);
  void hold_commits();
  void commit_now();  // everything emitted so far; returns when on_durable has been called
  // The wrong host: says durable as soon as a record is queued.
  void lie_about_durability() { lying_ = true; }

  uint64_t durable() const { return durable_.load(); }
  uint64_t assigned() const;
  std::vector<StoredRecord> records() const;  // all that were taken
  std::vector<std::string> payloads() const;
  uint64_t hints() const { return hints_.load(); }
  std::vector<std::string> logs() const;
  std::vector<std::pair<penstock_state, std::string>> states() const;
  std::pair<penstock_state, std::string> state() const;

  bool wait_records(size_t count, Millis within = std::chrono::seconds(30)) const;
  bool wait_durable(uint64_t seq, Millis within = std::chrono::seconds(30)) const;
  bool wait_state(penstock_state state, std::string_view fragment = "",
                  Millis within = std::chrono::seconds(30)) const;

 private:
  static penstock_emit_status on_emit(void* self, const penstock_record* records, size_t count,
                                      uint64_t* last_seq);
  static penstock_emit_status on_set_aside(void* self, const penstock_record* record,
                                           penstock_str reason, uint64_t* last_seq);
  static int on_remember(void* self, penstock_str bytes);
  static size_t on_recall(void* self, char* bytes, size_t capacity);
  static size_t on_secret(void* self, penstock_str name, char* bytes, size_t capacity);
  penstock_emit_status take(const penstock_record& record, std::string_view reason,
                            uint64_t* last_seq);
  void dispatch();
  bool commit_batch(const Commit& commit, const std::vector<StoredRecord>& batch);
  void tell(uint64_t up_to);

  std::string instance_id_;
  std::string agent_id_;
  penstock_host abi_{};
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> hints_{0};
  std::atomic<bool> lying_{false};
  std::atomic<uint64_t> secrets_read_{0};

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Answer answer_;
  Commit commit_;
  std::vector<StoredRecord> records_;
  std::string note_;
  std::string password_;
  size_t committed_ = 0;  // of records_
  uint64_t calls_ = 0;
  bool stop_ = false;
  std::vector<std::string> logs_;
  std::vector<std::pair<penstock_state, std::string>> states_;

  std::recursive_mutex input_mutex_;  // held during calls of the input
  sdk::Input* input_ = nullptr;
  std::mutex commit_mutex_;  // one commit at a time

  std::thread dispatcher_;
};

}  // namespace penstock::test
