#include "conformance_bench.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "penstock_plugin.hpp"

namespace penstock::sdk {
namespace {

constexpr size_t kLeastRecord = offsetof(penstock_record, received_at_us);
constexpr uint64_t kMaxEmitBytes = 1 << 20;

penstock_record record_at(const penstock_record* records, size_t i) {
  penstock_record record{};
  const size_t size = records->struct_size;
  std::memcpy(&record, reinterpret_cast<const char*>(records) + i * size,
              std::min(size, sizeof record));
  return record;
}

std::string problem_of(const penstock_record& record) {
  if (record.payload.size && !record.payload.data) return "a payload is NULL";
  if (record.topic.size && !record.topic.data) return "a topic is NULL";
  if (!is_utf8(view(record.topic))) return "a topic is not UTF-8";
  if (record.attribute_count && !record.attributes) return "the attributes are NULL";
  for (size_t k = 0; k < record.attribute_count; ++k) {
    const auto& attribute = record.attributes[k];
    if (!attribute.key.data || (attribute.value.size && !attribute.value.data))
      return "an attribute is NULL";
  }
  return {};
}

}  // namespace

ConformanceBench::ConformanceBench() {
  host_ = {sizeof(penstock_host), PENSTOCK_ABI_MINOR, this, str("conformance"), str("test-agent"),
           kMaxEmitBytes, on_emit, on_flush_hint, on_log, on_state, on_set_aside,
           // Kept memory would look like the plugin's; that nothing can be kept is allowed.
           [](void* self, penstock_str) {
             static_cast<ConformanceBench*>(self)->note_call("remember");
             return 1;
           },
           [](void* self, char*, size_t) -> size_t {
             static_cast<ConformanceBench*>(self)->note_call("recall");
             return 0;
           },
           [](void* self, penstock_str, char*, size_t) -> size_t {
             static_cast<ConformanceBench*>(self)->note_call("secret");
             return 0;
           }};
}

void ConformanceBench::phase(Phase phase) {
  const std::lock_guard lock(mutex_);
  phase_ = phase;
}

void ConformanceBench::answer(penstock_emit_status status) {
  const std::lock_guard lock(mutex_);
  answer_ = status;
  too_big_next_ = false;
  refused_ = 0;
  full_repeats_ = 0;
}

void ConformanceBench::answer_too_big_once() {
  const std::lock_guard lock(mutex_);
  answer_ = PENSTOCK_EMIT_OK;
  too_big_next_ = true;
}

void ConformanceBench::during_next_emit(std::function<void(uint64_t)> hook) {
  const std::lock_guard lock(mutex_);
  hook_ = std::move(hook);
}

void ConformanceBench::wait_no_hook() {
  std::unique_lock lock(mutex_);
  hook_ = nullptr;
  changed_.wait(lock, [&] { return !in_hook_; });
}

bool ConformanceBench::wait(std::chrono::milliseconds limit,
                            const std::function<bool()>& condition) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, std::chrono::system_clock::now() + limit, condition);
}

bool ConformanceBench::wait_taken(uint64_t records, std::chrono::milliseconds limit) const {
  wait(limit, [&] { return taken_ >= records || !bad_record_.empty(); });
  return taken() >= records;
}
bool ConformanceBench::wait_refused(uint64_t calls, std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return refused_ >= calls; });
}
bool ConformanceBench::wait_too_big(std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return !too_big_next_; });
}
bool ConformanceBench::wait_state(penstock_state state, std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return reported_ && state_ == state; });
}
bool ConformanceBench::wait_reported(std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return reported_; });
}
bool ConformanceBench::wait_offered_again(std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return owed_.empty(); });
}
bool ConformanceBench::wait_late_call(std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return !late_call_.empty(); });
}
bool ConformanceBench::wait_stopped_emit(std::chrono::milliseconds limit) const {
  return wait(limit, [&] { return stopped_emits_ > 0; });
}

uint64_t ConformanceBench::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}
uint64_t ConformanceBench::refused() const {
  const std::lock_guard lock(mutex_);
  return refused_;
}
uint64_t ConformanceBench::full_repeats() const {
  const std::lock_guard lock(mutex_);
  return full_repeats_;
}
uint64_t ConformanceBench::too_big_repeats() const {
  const std::lock_guard lock(mutex_);
  return too_big_repeats_;
}
uint64_t ConformanceBench::last_seq() const {
  const std::lock_guard lock(mutex_);
  return seq_;
}
std::string ConformanceBench::late_call() const {
  const std::lock_guard lock(mutex_);
  return late_call_;
}
std::string ConformanceBench::bad_record() const {
  const std::lock_guard lock(mutex_);
  return bad_record_;
}
uint64_t ConformanceBench::stopped_emits() const {
  const std::lock_guard lock(mutex_);
  return stopped_emits_;
}

penstock_emit_status ConformanceBench::on_emit(void* self, const penstock_record* records,
                                               size_t count, uint64_t* last_seq) {
  return static_cast<ConformanceBench*>(self)->take(records, count, last_seq);
}

penstock_emit_status ConformanceBench::on_set_aside(void* self, const penstock_record* record,
                                                    penstock_str reason, uint64_t* last_seq) {
  auto& bench = *static_cast<ConformanceBench*>(self);
  if (reason.size == 0) {
    const std::lock_guard lock(bench.mutex_);
    bench.bad_record_ = "set_aside was called without a reason";
    return PENSTOCK_EMIT_CLOSED;
  }
  return bench.take(record, 1, last_seq);
}

void ConformanceBench::on_flush_hint(void* self) {
  static_cast<ConformanceBench*>(self)->note_call("flush_hint");
}

void ConformanceBench::on_log(void* self, penstock_log_level, penstock_str) {
  static_cast<ConformanceBench*>(self)->note_call("log");
}

void ConformanceBench::on_state(void* self, penstock_state state, penstock_str) {
  auto& bench = *static_cast<ConformanceBench*>(self);
  if (!bench.note_call("set_state")) return;
  const std::lock_guard lock(bench.mutex_);
  bench.reported_ = true;
  bench.state_ = state;
  if (state == PENSTOCK_STATE_STOPPED) bench.phase_ = Phase::kStopped;
  bench.changed_.notify_all();
}

// False: the instance is destroyed, and this call should not be.
bool ConformanceBench::note_call(const char* name) {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::kDestroyed) return true;
  if (late_call_.empty()) late_call_ = name;
  changed_.notify_all();
  return false;
}

// Under the lock.
void ConformanceBench::look_at(const penstock_record* records, size_t count) {
  for (size_t i = 0; i < count && bad_record_.empty(); ++i)
    bad_record_ = problem_of(record_at(records, i));
}

// Under the lock. What is refused with FULL is owed until it comes again.
void ConformanceBench::note_owed(const penstock_record* records, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const std::string payload(view(record_at(records, i).payload));
    if (answer_ == PENSTOCK_EMIT_OK) owed_.erase(payload);
    if (answer_ == PENSTOCK_EMIT_FULL && !owed_.insert(payload).second) ++full_repeats_;
  }
}

// Under the lock. Whether this call, which begins with `payload`, is the one to be answered so.
bool ConformanceBench::too_big(std::string_view payload) {
  const size_t hash = std::hash<std::string_view>{}(payload) | 1;
  if (hash == too_big_payload_) ++too_big_repeats_;
  if (too_big_next_ && !payload.empty() && hash != last_payload_) {
    too_big_next_ = false;
    too_big_payload_ = hash;
  }
  last_payload_ = hash;
  return hash == too_big_payload_;
}

penstock_emit_status ConformanceBench::take(const penstock_record* records, size_t count,
                                            uint64_t* last_seq) {
  if (!note_call("emit")) return PENSTOCK_EMIT_CLOSED;
  std::function<void(uint64_t)> hook;
  uint64_t seq = 0;
  {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
    if (phase_ == Phase::kStopped) {
      ++stopped_emits_;
      return PENSTOCK_EMIT_CLOSED;
    }
    if (phase_ == Phase::kCreated) bad_record_ = "emit was called before start";
    if (!last_seq || (count && (!records || records->struct_size < kLeastRecord))) {
      bad_record_ = "last_seq or records is NULL, or struct_size is too small";
      return PENSTOCK_EMIT_CLOSED;
    }
    look_at(records, count);
    if (!bad_record_.empty()) return PENSTOCK_EMIT_CLOSED;
    note_owed(records, count);
    if (answer_ != PENSTOCK_EMIT_OK) {
      ++refused_;
      return answer_;
    }
    taken_ += count;
    seq = seq_ += count;
    if (count > 0 && too_big(view(record_at(records, 0).payload))) {
      *last_seq = seq;
      return PENSTOCK_EMIT_TOO_BIG;
    }
    hook = std::exchange(hook_, nullptr);
    in_hook_ = in_hook_ || hook != nullptr;
  }
  if (hook) {
    hook(seq);
    const std::lock_guard lock(mutex_);
    in_hook_ = false;
    changed_.notify_all();
  }
  *last_seq = seq;
  return PENSTOCK_EMIT_OK;
}

}  // namespace penstock::sdk
