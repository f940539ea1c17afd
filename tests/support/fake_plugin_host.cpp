#include "tests/support/fake_plugin_host.h"

#include <algorithm>
#include <chrono>

#include <gtest/gtest.h>

namespace penstock::test {
namespace {

constexpr std::chrono::seconds kDeadline{30};  // only a failing test waits so long

bool refused(penstock_emit_status status) {
  return status == PENSTOCK_EMIT_FULL || status == PENSTOCK_EMIT_CLOSED;
}

}  // namespace

FakePluginHost::FakePluginHost(uint64_t max_emit_bytes) {
  host_.struct_size = sizeof(host_);
  host_.abi_minor = 0;  // offers what version 1.0 has
  host_.context = this;
  host_.instance_id = sdk::str("under_test");
  host_.agent_id = sdk::str("test-agent");
  host_.max_emit_bytes = max_emit_bytes;
  host_.emit = on_emit;
  host_.flush_hint = on_flush_hint;
  host_.log = on_log;
  host_.set_state = on_state;
}

void FakePluginHost::answer(penstock_emit_status status) {
  const std::lock_guard lock(mutex_);
  answer_ = status;
}

void FakePluginHost::answer_next(std::vector<penstock_emit_status> statuses) {
  const std::lock_guard lock(mutex_);
  script_.insert(script_.end(), statuses.begin(), statuses.end());
}

std::vector<EmittedRecord> FakePluginHost::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

std::vector<std::string> FakePluginHost::payloads() const {
  std::vector<std::string> payloads;
  for (auto& record : records()) payloads.push_back(std::move(record.payload));
  return payloads;
}

std::vector<EmitCall> FakePluginHost::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::vector<ReportedState> FakePluginHost::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

std::vector<std::string> FakePluginHost::logs() const {
  const std::lock_guard lock(mutex_);
  return logs_;
}

size_t FakePluginHost::flush_hints() const {
  const std::lock_guard lock(mutex_);
  return flush_hints_;
}

void FakePluginHost::on_flush_hint(void* self) {
  auto& host = *static_cast<FakePluginHost*>(self);
  const std::lock_guard lock(host.mutex_);
  ++host.flush_hints_;
}

size_t FakePluginHost::refusals() const {
  const std::lock_guard lock(mutex_);
  return refusals_locked();
}

bool FakePluginHost::wait_records(size_t count) const {
  return wait([&] { return records_.size() >= count; });
}

bool FakePluginHost::wait_refusals(size_t count) const {
  return wait([&] { return refusals_locked() >= count; });
}

bool FakePluginHost::wait_state(penstock_state state, std::string_view fragment) const {
  return wait([&] {
    return !states_.empty() && states_.back().state == state &&
           states_.back().text.find(fragment) != std::string::npos;
  });
}

std::string FakePluginHost::last_state_text() const {
  const std::lock_guard lock(mutex_);
  return states_.empty() ? "" : states_.back().text;
}

penstock_emit_status FakePluginHost::on_emit(void* self, const penstock_record* records,
                                             size_t count, uint64_t* last_seq) {
  return static_cast<FakePluginHost*>(self)->take(records, count, last_seq);
}

void FakePluginHost::on_log(void* self, penstock_log_level, penstock_str text) {
  auto& host = *static_cast<FakePluginHost*>(self);
  const std::lock_guard lock(host.mutex_);
  host.logs_.emplace_back(sdk::view(text));
  host.changed_.notify_all();
}

void FakePluginHost::on_state(void* self, penstock_state state, penstock_str text) {
  auto& host = *static_cast<FakePluginHost*>(self);
  const std::lock_guard lock(host.mutex_);
  host.states_.push_back({state, std::string(sdk::view(text))});
  host.changed_.notify_all();
}

penstock_emit_status FakePluginHost::take(const penstock_record* records, size_t count,
                                          uint64_t* last_seq) {
  const std::lock_guard lock(mutex_);
  EmitCall call{count, 0, answer_};
  if (!script_.empty()) {
    call.status = script_.front();
    script_.pop_front();
  }
  for (size_t i = 0; i < count; ++i) {
    EmittedRecord record{records_.size() + 1,
                         std::string(sdk::view(records[i].topic)),
                         std::string(sdk::view(records[i].payload)),
                         {},
                         records[i].received_at_us};
    call.bytes += record.topic.size() + record.payload.size();
    for (size_t a = 0; a < records[i].attribute_count; ++a) {
      const auto& attribute = records[i].attributes[a];
      call.bytes += attribute.key.size + attribute.value.size;
      record.attributes.emplace(sdk::view(attribute.key), sdk::view(attribute.value));
    }
    if (!refused(call.status)) records_.push_back(std::move(record));
  }
  if (!refused(call.status)) *last_seq = records_.size();
  calls_.push_back(call);
  changed_.notify_all();
  return call.status;
}

bool FakePluginHost::wait(const std::function<bool()>& condition) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, std::chrono::system_clock::now() + kDeadline, condition);
}

size_t FakePluginHost::refusals_locked() const {
  return static_cast<size_t>(std::count_if(
      calls_.begin(), calls_.end(), [](const EmitCall& call) { return refused(call.status); }));
}

OptionValues& OptionValues::text(std::string name, std::string value, penstock_option_type type) {
  const auto& kept_name = keep(std::move(name));
  const auto& kept_value = keep(std::move(value));
  values_.push_back({sizeof(penstock_value), type, kept_name.c_str(), sdk::str(kept_value), 0});
  return *this;
}

OptionValues& OptionValues::number(std::string name, int64_t value, penstock_option_type type) {
  values_.push_back(
      {sizeof(penstock_value), type, keep(std::move(name)).c_str(), sdk::str(""), value});
  return *this;
}

uint64_t stat(const sdk::Input& input, std::string_view name) {
  for (const auto& entry : input.stats()) {
    if (name == entry.name) return entry.value;
  }
  ADD_FAILURE() << "no stat " << name;
  return 0;
}

}  // namespace penstock::test
