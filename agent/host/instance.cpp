#include "agent/host/instance.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace penstock::host {
namespace {

std::string_view view(penstock_str text) { return {text.data, text.size}; }
penstock_str str(std::string_view text) { return {text.data(), text.size()}; }

penstock_emit_status native(intake::EmitStatus status) {
  switch (status) {
    case intake::EmitStatus::kOk:
      return PENSTOCK_EMIT_OK;
    case intake::EmitStatus::kFull:
      return PENSTOCK_EMIT_FULL;
    case intake::EmitStatus::kTooBig:
      return PENSTOCK_EMIT_TOO_BIG;
    case intake::EmitStatus::kClosed:
      return PENSTOCK_EMIT_CLOSED;
  }
  return PENSTOCK_EMIT_CLOSED;
}

LogLevel native(penstock_log_level level) {
  switch (level) {
    case PENSTOCK_LOG_DEBUG:
      return LogLevel::kDebug;
    case PENSTOCK_LOG_INFO:
      return LogLevel::kInfo;
    case PENSTOCK_LOG_WARNING:
      return LogLevel::kWarning;
    case PENSTOCK_LOG_ERROR:
      return LogLevel::kError;
  }
  return LogLevel::kError;
}

InstanceState native(penstock_state state) {
  switch (state) {
    case PENSTOCK_STATE_STARTING:
      return InstanceState::kStarting;
    case PENSTOCK_STATE_UP:
      return InstanceState::kUp;
    case PENSTOCK_STATE_DEGRADED:
      return InstanceState::kDegraded;
    case PENSTOCK_STATE_DOWN:
      return InstanceState::kDown;
    case PENSTOCK_STATE_STOPPED:
      return InstanceState::kStopped;
  }
  return InstanceState::kDown;
}

size_t hand_out(const std::string& from, char* bytes, size_t capacity) {
  if (capacity > 0) from.copy(bytes, capacity);
  return from.size();
}

// Views of one emit call. Kept per plugin thread, so that emitting costs no allocation once warm.
struct EmitBuffers {
  std::vector<RecordView> records;
  std::vector<AttributeView> attributes;
  std::vector<penstock_record> completed;
};

// Version 1.0 of a record, up to the field that may be missing.
constexpr size_t kLeastRecord = offsetof(penstock_record, received_at_us);

// The records of a call, with zeros for what an older plugin's struct does not have.
std::span<const penstock_record> as_known(const penstock_record* records, size_t count,
                                          EmitBuffers& buffers) {
  if (count == 0 || records->struct_size == sizeof(penstock_record)) return {records, count};
  const size_t size = records->struct_size;
  buffers.completed.assign(count, {});
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(&buffers.completed[i], reinterpret_cast<const std::byte*>(records) + i * size,
                std::min(size, sizeof(penstock_record)));
  }
  return buffers.completed;
}

bool missing(const penstock_str& text) { return text.size && !text.data; }

// What is wrong with a call of some records; empty: nothing.
std::string_view call_problem(const penstock_record* records) {
  if (!records) return "the records are NULL";
  if (records->struct_size < kLeastRecord) return "struct_size of a record is too small";
  return {};
}

std::string_view record_problem(const penstock_record& record) {
  if (missing(record.topic) || missing(record.payload)) return "a topic or payload is NULL";
  if (record.attribute_count && !record.attributes) return "the attributes are NULL";
  for (const auto& one : std::span(record.attributes, record.attribute_count)) {
    if (missing(one.key) || missing(one.value)) return "an attribute is NULL";
  }
  return {};
}

// The attributes of a record; of many in a row they are the same array.
std::span<const AttributeView> borrow_attributes(const penstock_record& record,
                                                 const penstock_record* before,
                                                 EmitBuffers& buffers) {
  const bool same = before && before->attributes == record.attributes &&
                    before->attribute_count == record.attribute_count;
  if (same) return buffers.records.back().attributes;
  const size_t first = buffers.attributes.size();
  for (const auto& one : std::span(record.attributes, record.attribute_count))
    buffers.attributes.push_back({view(one.key), view(one.value)});
  return std::span(buffers.attributes).subspan(first);
}

// What is wrong with one of them, or nothing, and `buffers` has the views.
std::string_view borrow(std::span<const penstock_record> records, EmitBuffers& buffers) {
  buffers.records.clear();
  buffers.attributes.clear();
  size_t attributes = 0;
  for (const auto& record : records) {
    if (const auto problem = record_problem(record); !problem.empty()) return problem;
    attributes += record.attribute_count;
  }
  buffers.attributes.reserve(attributes);  // spans into it must stay valid
  const penstock_record* before = nullptr;
  for (const auto& from : records) {
    RecordView record;
    record.topic = view(from.topic);
    record.payload = view(from.payload);
    record.attributes = borrow_attributes(from, before, buffers);
    record.received_at_us = from.received_at_us;
    buffers.records.push_back(record);
    before = &from;
  }
  return {};
}

}  // namespace

std::string_view to_string(InstanceState state) {
  switch (state) {
    case InstanceState::kStarting:
      return "starting";
    case InstanceState::kUp:
      return "up";
    case InstanceState::kDegraded:
      return "degraded";
    case InstanceState::kDown:
      return "down";
    case InstanceState::kStopped:
      return "stopped";
    case InstanceState::kFailed:
      return "failed";
  }
  return "unknown";
}

Instance::Instance(const PluginLibrary& library, std::string id, std::string agent_id,
                   spool::SourceId source, intake::Sink& sink, Log log, InstanceFiles files,
                   InstanceLimits limits)
    : plugin_(library.descriptor()),
      id_(std::move(id)),
      agent_id_(std::move(agent_id)),
      source_(source),
      sink_(sink),
      log_(std::move(log)),
      limits_(limits),
      note_(std::move(files.note)),
      secrets_(std::move(files.secrets)),
      losses_(std::move(files.lost), log_) {
  functions_ = {sizeof(penstock_host),
                PENSTOCK_ABI_MINOR,
                this,
                str(id_),
                str(agent_id_),
                sink_.max_emit_bytes(),
                emit_entry,
                flush_hint_entry,
                log_entry,
                state_entry,
                set_aside_entry,
                remember_entry,
                recall_entry,
                secret_entry};
}

Result<std::unique_ptr<Instance>> Instance::create(const PluginLibrary& library, std::string id,
                                                   std::string agent_id,
                                                   const std::vector<config::OptionValue>& values,
                                                   spool::SourceId source, intake::Sink& sink,
                                                   Log log, InstanceFiles files,
                                                   InstanceLimits limits) {
  std::unique_ptr<Instance> instance(new Instance(library, std::move(id), std::move(agent_id),
                                                  source, sink, std::move(log), std::move(files),
                                                  limits));
  instance->values_ = values;
  instance->dispatcher_ = std::thread([raw = instance.get()] { raw->dispatch(); });
  if (!instance->wait_created(std::chrono::steady_clock::now() + limits.create)) {
    Error late{ErrorKind::kDenied,
               fmt::format("input {}: its plugin {} {} does not return from create within {} s and "
                           "is left behind",
                           instance->id_, instance->plugin_.name, instance->plugin_.version,
                           std::chrono::ceil<std::chrono::seconds>(limits.create).count()),
               {}};
    instance->end();  // should it return after all
    abandon(std::move(instance));
    return late;
  }
  if (instance->life_ == Life::kRefused)
    return Error{
        ErrorKind::kDenied, fmt::format("input {}: {}", instance->id_, instance->refusal_), {}};
  return instance;
}

Instance::~Instance() {
  end();
  dispatcher_.join();
}

bool Instance::wait_created(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return life_ != Life::kCreating; });
}

void Instance::end() {
  const std::lock_guard lock(mutex_);
  end_wanted_ = true;
  changed_.notify_all();
}

bool Instance::wait_destroyed(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return life_ == Life::kDestroyed; });
}

bool Instance::discard(std::unique_ptr<Instance> instance, MonoTime deadline) {
  instance->end();
  if (instance->wait_destroyed(deadline)) return true;
  abandon(std::move(instance));
  return false;
}

penstock_emit_status Instance::emit_entry(void* context, const penstock_record* records,
                                          size_t count, uint64_t* last_seq) {
  return static_cast<Instance*>(context)->emit(records, count, last_seq);
}

penstock_emit_status Instance::set_aside_entry(void* context, const penstock_record* record,
                                               penstock_str reason, uint64_t* last_seq) {
  return static_cast<Instance*>(context)->emit(record, 1, last_seq, &reason);
}

int Instance::remember_entry(void* context, penstock_str bytes) {
  auto& self = *static_cast<Instance*>(context);
  const auto kept = self.note_.write(view(bytes));
  if (!kept) self.log_.warning("cannot remember over a restart: {}", kept.error().what);
  return kept ? 0 : 1;
}

size_t Instance::recall_entry(void* context, char* bytes, size_t capacity) {
  return hand_out(static_cast<Instance*>(context)->note_.read(), bytes, capacity);
}

size_t Instance::secret_entry(void* context, penstock_str name, char* bytes, size_t capacity) {
  return hand_out(static_cast<Instance*>(context)->secrets_.read(view(name)), bytes, capacity);
}

penstock_emit_status Instance::emit(const penstock_record* records, size_t count,
                                    uint64_t* last_seq, const penstock_str* set_aside_for) {
  thread_local EmitBuffers buffers;
  std::string_view problem;
  if (!last_seq) problem = "last_seq is NULL";
  if (problem.empty() && count > 0) problem = call_problem(records);
  if (problem.empty()) problem = borrow(as_known(records, count, buffers), buffers);
  if (!problem.empty()) {
    misuse(problem);
  } else if (set_aside_for && (!set_aside_for->data || set_aside_for->size == 0)) {
    misuse("set_aside has no reason");
  }
  if (misused_ || !last_seq) return PENSTOCK_EMIT_CLOSED;
  full_answered_ = false;
  room_ = false;
  const auto& views = buffers.records;
  const auto status = set_aside_for
                          ? sink_.set_aside(source_, views[0], view(*set_aside_for), *last_seq)
                          : sink_.emit(source_, views, *last_seq);
  if (status == intake::EmitStatus::kFull) {
    full_answered_ = true;
    notify();
  }
  return native(status);
}

void Instance::misuse(std::string_view what) {
  if (misused_.exchange(true)) return;
  set_state(
      InstanceState::kFailed,
      fmt::format("its plugin {} {} calls emit against the contract: {}; nothing more is taken "
                  "from it",
                  plugin_.name, plugin_.version, what));
}

void Instance::flush_hint_entry(void* context) {
  static_cast<Instance*>(context)->sink_.flush_hint();
}

void Instance::log_entry(void* context, penstock_log_level level, penstock_str text) {
  static_cast<Instance*>(context)->log_.write(native(level), view(text));
}

void Instance::state_entry(void* context, penstock_state state, penstock_str text) {
  auto& self = *static_cast<Instance*>(context);
  if (self.misused_ && state != PENSTOCK_STATE_STOPPED) return;  // what failed stays failed
  self.set_state(native(state), std::string(view(text)));
}

void Instance::set_state(InstanceState state, std::string text) {
  {
    const std::lock_guard lock(mutex_);
    reported_ = true;
    if (state == state_ && text == state_text_) return;
    state_ = state;
    state_text_ = text;
  }
  changed_.notify_all();
  log_.write(
      is_trouble(state) ? LogLevel::kWarning : LogLevel::kInfo,
      text.empty() ? std::string(to_string(state)) : fmt::format("{}: {}", to_string(state), text));
}

void Instance::start() {
  const std::lock_guard lock(mutex_);
  start_wanted_ = true;
  changed_.notify_all();
}

void Instance::durable(uint64_t up_to) {
  const std::lock_guard lock(mutex_);
  durable_ = std::max(durable_, up_to);
  changed_.notify_all();
}

void Instance::room() {
  room_ = true;
  notify();
}

void Instance::notify() {
  {
    const std::lock_guard lock(mutex_);
  }  // a dispatcher between its check and its wait must not miss this
  changed_.notify_all();
}

void Instance::quiesce() {
  const std::lock_guard lock(mutex_);
  quiesce_wanted_ = true;
  changed_.notify_all();
}

void Instance::stop() {
  const std::lock_guard lock(mutex_);
  stop_wanted_ = true;
  changed_.notify_all();
}

bool Instance::wait_reported(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return reported_; });
}

bool Instance::wait_quiesced(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline,
                             [&] { return quiesced_ || state_ == InstanceState::kFailed; });
}

bool Instance::wait_stopped(MonoTime deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] {
    return stop_returned_ &&
           (state_ == InstanceState::kStopped || state_ == InstanceState::kFailed);
  });
}

InstanceStatus Instance::status() const {
  const std::lock_guard lock(mutex_);
  return {id_, plugin_.name, state_, state_text_};
}

std::vector<std::pair<std::string, uint64_t>> Instance::stats() const {
  {
    const std::lock_guard lock(mutex_);
    if (life_ != Life::kAlive || end_wanted_) return {};
  }
  std::vector<std::pair<std::string, uint64_t>> named;
  for (const auto& stat : read_stats()) named.emplace_back(stat.name, stat.value);
  return named;
}

}  // namespace penstock::host
