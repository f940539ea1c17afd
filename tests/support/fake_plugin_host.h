// A host for tests of input plugins: records what the plugin emits, reports and logs, and answers
// emit as scripted.
//
// The test owns it and keeps it alive longer than the plugin instance. All functions are
// thread-safe. Waits return as soon as the condition holds and give up after a generous deadline.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/sdk/penstock_plugin.h"
#include "plugins/sdk/penstock_plugin.hpp"

namespace penstock::test {

struct EmittedRecord {
  uint64_t seq = 0;
  std::string topic;
  std::string payload;
  std::map<std::string, std::string> attributes;
  int64_t received_at_us = 0;
};

struct EmitCall {
  size_t records = 0;
  uint64_t bytes = 0;  // payload, topic and attributes
  penstock_emit_status status = PENSTOCK_EMIT_OK;
};

struct ReportedState {
  penstock_state state = PENSTOCK_STATE_STARTING;
  std::string text;
};

class FakePluginHost {
 public:
  explicit FakePluginHost(uint64_t max_emit_bytes = 1 << 20);
  FakePluginHost(const FakePluginHost&) = delete;
  FakePluginHost& operator=(const FakePluginHost&) = delete;

  const penstock_host* host() const { return &host_; }
  sdk::Host face() const { return sdk::Host(&host_); }

  // How emit answers from now on; OK at first. Answers given by answer_next() come first.
  void answer(penstock_emit_status status);
  void answer_next(std::vector<penstock_emit_status> statuses);

  std::vector<EmittedRecord> records() const;  // those answered OK or TOO_BIG, in order
  std::vector<std::string> payloads() const;
  std::vector<EmitCall> calls() const;
  std::vector<ReportedState> states() const;
  std::vector<std::string> logs() const;
  size_t flush_hints() const;
  size_t refusals() const;  // calls answered FULL or CLOSED

  bool wait_records(size_t count) const;
  bool wait_refusals(size_t count) const;
  // Until the latest report is `state` and its text contains `fragment`.
  bool wait_state(penstock_state state, std::string_view fragment = "") const;
  std::string last_state_text() const;

 private:
  static penstock_emit_status on_emit(void* self, const penstock_record* records, size_t count,
                                      uint64_t* last_seq);
  static void on_flush_hint(void* self);
  static void on_log(void* self, penstock_log_level level, penstock_str text);
  static void on_state(void* self, penstock_state state, penstock_str text);
  penstock_emit_status take(const penstock_record* records, size_t count, uint64_t* last_seq);
  bool wait(const std::function<bool()>& condition) const;
  size_t refusals_locked() const;

  penstock_host host_{};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  penstock_emit_status answer_ = PENSTOCK_EMIT_OK;
  std::deque<penstock_emit_status> script_;
  std::vector<EmittedRecord> records_;
  std::vector<EmitCall> calls_;
  std::vector<ReportedState> states_;
  std::vector<std::string> logs_;
  size_t flush_hints_ = 0;
};

// Checked values as the host passes them to create. Keeps the texts alive.
class OptionValues {
 public:
  OptionValues& text(std::string name, std::string value,
                     penstock_option_type type = PENSTOCK_OPTION_STRING);
  OptionValues& number(std::string name, int64_t value,
                       penstock_option_type type = PENSTOCK_OPTION_INTEGER);
  sdk::Options options() const { return sdk::Options(values_); }
  const std::vector<penstock_value>& values() const { return values_; }

 private:
  const std::string& keep(std::string text) { return texts_.emplace_back(std::move(text)); }

  std::deque<std::string> texts_;  // a deque: values point at its elements
  std::vector<penstock_value> values_;
};

// The value of one entry of an input's stats; fails the test and is 0 when there is none of this
// name.
uint64_t stat(const sdk::Input& input, std::string_view name);

}  // namespace penstock::test
