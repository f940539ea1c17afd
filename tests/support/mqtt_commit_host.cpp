#include "tests/support/mqtt_commit_host.h"

namespace penstock::test {
namespace {

constexpr std::chrono::milliseconds kRetryFailed{5};

}  // namespace

CommitHost::CommitHost(std::string instance_id, std::string agent_id)
    : instance_id_(std::move(instance_id)), agent_id_(std::move(agent_id)) {
  abi_.struct_size = sizeof(abi_);
  abi_.abi_minor = PENSTOCK_ABI_MINOR;
  abi_.context = this;
  abi_.instance_id = sdk::str(instance_id_);
  abi_.agent_id = sdk::str(agent_id_);
  abi_.max_emit_bytes = 64 << 20;
  abi_.emit = on_emit;
  abi_.set_aside = on_set_aside;
  abi_.remember = on_remember;
  abi_.recall = on_recall;
  abi_.secret = on_secret;
  abi_.flush_hint = [](void* self) { ++static_cast<CommitHost*>(self)->hints_; };
  abi_.log = [](void* self, penstock_log_level, penstock_str text) {
    auto& host = *static_cast<CommitHost*>(self);
    const std::lock_guard lock(host.mutex_);
    host.logs_.emplace_back(sdk::view(text));
  };
  abi_.set_state = [](void* self, penstock_state state, penstock_str text) {
    auto& host = *static_cast<CommitHost*>(self);
    const std::lock_guard lock(host.mutex_);
    host.states_.emplace_back(state, sdk::view(text));
    host.changed_.notify_all();
  };
  dispatcher_ = std::thread([this] { dispatch(); });
}

CommitHost::~CommitHost() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  dispatcher_.join();
}

void CommitHost::attach(sdk::Input& input) {
  const std::lock_guard lock(input_mutex_);
  input_ = &input;
}

void CommitHost::detach() {
  const std::lock_guard lock(input_mutex_);
  input_ = nullptr;
}

void CommitHost::answer_with(Answer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

void CommitHost::commit_with(Commit commit) {
  {
    const std::lock_guard lock(mutex_);
    commit_ = std::move(commit);
  }
  changed_.notify_all();
}

void CommitHost::hold_commits() { commit_with(nullptr); }

void CommitHost::commit_now() {
  const std::lock_guard one(commit_mutex_);
  std::vector<StoredRecord> batch;
  {
    const std::lock_guard lock(mutex_);
    batch.assign(records_.begin() + static_cast<std::ptrdiff_t>(committed_), records_.end());
  }
  commit_batch(nullptr, batch);
}

void CommitHost::dispatch() {
  while (true) {
    Commit commit;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || (commit_ && committed_ < records_.size()); });
      if (stop_) return;
      commit = commit_;
    }
    std::unique_lock one(commit_mutex_);
    std::vector<StoredRecord> batch;
    {
      const std::lock_guard lock(mutex_);
      batch.assign(records_.begin() + static_cast<std::ptrdiff_t>(committed_), records_.end());
    }
    if (batch.empty() || commit_batch(commit, batch)) continue;
    one.unlock();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kRetryFailed, [this] { return stop_; });
  }
}

bool CommitHost::commit_batch(const Commit& commit, const std::vector<StoredRecord>& batch) {
  if (commit && !commit(batch)) return false;
  uint64_t up_to = 0;
  {
    const std::lock_guard lock(mutex_);
    committed_ += batch.size();
    up_to = committed_;
    durable_ = up_to;  // before the input is told: whoever sees an early acknowledgement sees that
                       // it is early
  }
  changed_.notify_all();
  tell(up_to);
  return true;
}

void CommitHost::tell(uint64_t up_to) {
  const std::lock_guard lock(input_mutex_);
  if (input_) input_->on_durable(up_to);
}

penstock_emit_status CommitHost::on_emit(void* self, const penstock_record* records, size_t count,
                                         uint64_t* last_seq) {
  auto& host = *static_cast<CommitHost*>(self);
  penstock_emit_status status = PENSTOCK_EMIT_OK;
  for (size_t i = 0; i < count; ++i) status = host.take(records[i], "", last_seq);
  return status;
}

penstock_emit_status CommitHost::on_set_aside(void* self, const penstock_record* record,
                                              penstock_str reason, uint64_t* last_seq) {
  return static_cast<CommitHost*>(self)->take(*record, sdk::view(reason), last_seq);
}

int CommitHost::on_remember(void* self, penstock_str bytes) {
  static_cast<CommitHost*>(self)->set_note(std::string(sdk::view(bytes)));
  return 0;
}

size_t CommitHost::on_recall(void* self, char* bytes, size_t capacity) {
  const auto note = static_cast<CommitHost*>(self)->note();
  if (capacity > 0) note.copy(bytes, capacity);
  return note.size();
}

size_t CommitHost::on_secret(void* self, penstock_str name, char* bytes, size_t capacity) {
  auto& host = *static_cast<CommitHost*>(self);
  ++host.secrets_read_;
  const std::lock_guard lock(host.mutex_);
  if (sdk::view(name) != "password") return 0;
  if (capacity > 0) host.password_.copy(bytes, capacity);
  return host.password_.size();
}

void CommitHost::set_password(std::string password) {
  const std::lock_guard lock(mutex_);
  password_ = std::move(password);
}

void CommitHost::set_note(std::string note) {
  const std::lock_guard lock(mutex_);
  note_ = std::move(note);
}

std::string CommitHost::note() const {
  const std::lock_guard lock(mutex_);
  return note_;
}

penstock_emit_status CommitHost::take(const penstock_record& record, std::string_view reason,
                                      uint64_t* last_seq) {
  Answer answer;
  uint64_t nth = 0;
  {
    const std::lock_guard lock(mutex_);
    answer = answer_;
    nth = ++calls_;
  }
  const auto status = answer ? answer(nth, sdk::view(record.payload)) : PENSTOCK_EMIT_OK;
  if (status == PENSTOCK_EMIT_FULL || status == PENSTOCK_EMIT_CLOSED) return status;
  StoredRecord stored{0,
                      std::string(sdk::view(record.topic)),
                      std::string(sdk::view(record.payload)),
                      {},
                      std::string(reason)};
  for (size_t i = 0; i < record.attribute_count; ++i) {
    stored.attributes[std::string(sdk::view(record.attributes[i].key))] =
        sdk::view(record.attributes[i].value);
  }
  {
    const std::lock_guard lock(mutex_);
    stored.seq = *last_seq = records_.size() + 1;
    records_.push_back(std::move(stored));
  }
  changed_.notify_all();
  if (lying_) tell(*last_seq);
  return status;
}

uint64_t CommitHost::assigned() const {
  const std::lock_guard lock(mutex_);
  return records_.size();
}

std::vector<StoredRecord> CommitHost::records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

std::vector<std::string> CommitHost::payloads() const {
  std::vector<std::string> payloads;
  for (auto& record : records()) payloads.push_back(std::move(record.payload));
  return payloads;
}

std::vector<std::string> CommitHost::logs() const {
  const std::lock_guard lock(mutex_);
  return logs_;
}

std::vector<std::pair<penstock_state, std::string>> CommitHost::states() const {
  const std::lock_guard lock(mutex_);
  return states_;
}

std::pair<penstock_state, std::string> CommitHost::state() const {
  const std::lock_guard lock(mutex_);
  return states_.empty() ? std::pair(PENSTOCK_STATE_STARTING, std::string()) : states_.back();
}

bool CommitHost::wait_records(size_t count, Millis within) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, within, [&] { return records_.size() >= count; });
}

bool CommitHost::wait_durable(uint64_t seq, Millis within) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, within, [&] { return durable_ >= seq; });
}

bool CommitHost::wait_state(penstock_state state, std::string_view fragment, Millis within) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, within, [&] {
    return !states_.empty() && states_.back().first == state &&
           states_.back().second.find(fragment) != std::string::npos;
  });
}

}  // namespace penstock::test
