#include "tests/zerobus_local/faults.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tests/zerobus_local/scalars.h"
#include "tests/zerobus_local/tables.h"

namespace penstock::local {
namespace {

constexpr std::array<std::string_view, 17> kStatusNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

}  // namespace

std::optional<grpc::StatusCode> parse_status(std::string_view text) {
  for (size_t i = 0; i < kStatusNames.size(); ++i) {
    if (text == kStatusNames[i] || text == std::to_string(i)) {
      return static_cast<grpc::StatusCode>(i);
    }
  }
  return std::nullopt;
}

std::string padded(std::string text, int64_t bytes) {
  const auto wanted = static_cast<size_t>(std::max<int64_t>(bytes, 0));
  if (text.size() < wanted) text.append(wanted - text.size(), '.');
  return text;
}

std::string_view status_name(grpc::StatusCode code) {
  const auto i = static_cast<size_t>(code);
  return i < kStatusNames.size() ? kStatusNames[i] : "UNKNOWN";
}

void Faults::add(Ordered fault) {
  const std::lock_guard lock(mutex_);
  if (fault.table.empty()) fault.table = "*";
  faults_.push_back(std::move(fault));
  any_ = true;
}

void Faults::set(Ordered::What what, std::string table, bool on) {
  if (table.empty()) table = "*";
  {
    const std::lock_guard lock(mutex_);
    faults_.remove_if(
        [&](const Ordered& fault) { return fault.what == what && fault.table == table; });
  }
  if (on) add({what, std::move(table), {}, 0, 0, 0, {}});
}

bool Faults::ordered(Ordered::What what, std::string_view table) const {
  if (!any_) return false;
  const std::lock_guard lock(mutex_);
  return std::any_of(faults_.begin(), faults_.end(),
                     [&](const Ordered& fault) { return matches(fault, what, table); });
}

void Faults::add_drop(grpc::StatusCode code, int64_t after, std::string table, int64_t times,
                      int64_t text_bytes) {
  add({Ordered::What::kDrop, std::move(table), code, after, after, times, {}, text_bytes});
}

void Faults::add_reject_match(std::string match, std::string table) {
  add({Ordered::What::kRejectMatch, std::move(table), {}, 0, 0, 0, std::move(match)});
}

void Faults::add_reject_record(int64_t record, std::string table) {
  add({Ordered::What::kRejectRecord, std::move(table), {}, 0, record, 1, {}});
}

void Faults::add_refuse_create(grpc::StatusCode code, std::string table, int64_t times,
                               int64_t text_bytes) {
  add({Ordered::What::kRefuseCreate, std::move(table), code, 0, 0, times, {}, text_bytes});
}

void Faults::set_freeze(std::string table, bool on) {
  set(Ordered::What::kFreeze, std::move(table), on);
}

void Faults::set_no_read(std::string table, bool on) {
  set(Ordered::What::kNoRead, std::move(table), on);
}

void Faults::set_rotation(Rotation rotation) {
  const std::lock_guard lock(mutex_);
  rotation_ = std::move(rotation);
}

void Faults::add_workspace(WorkspaceFault fault) {
  const std::lock_guard lock(mutex_);
  workspace_.push_back(fault);
}

void Faults::set_no_acks(bool on) { no_acks_ = on; }
void Faults::set_slow_acks(Millis delay) { slow_ms_ = delay.count(); }

void Faults::clear() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
  workspace_.clear();
  rotation_ = always_;
  any_ = false;
  no_acks_ = false;
  slow_ms_ = 0;
}

bool Faults::matches(const Ordered& fault, Ordered::What what, std::string_view table) const {
  return fault.what == what && glob_matches(fault.table, table);
}

// Counts one firing; true when it was the last.
bool Faults::used_up(Ordered& fault) { return fault.times > 0 && --fault.times == 0; }

std::optional<grpc::Status> Faults::on_create(std::string_view table) {
  if (!any_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  for (auto it = faults_.begin(); it != faults_.end(); ++it) {
    if (!matches(*it, Ordered::What::kRefuseCreate, table)) continue;
    grpc::Status status(
        it->code, padded("stream refused by an ordered fault (refuse-create)", it->text_bytes));
    if (used_up(*it)) faults_.erase(it);
    return status;
  }
  return std::nullopt;
}

std::optional<grpc::Status> Faults::on_received(std::string_view table, int64_t records) {
  if (!any_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::optional<grpc::Status> status;
  for (auto it = faults_.begin(); it != faults_.end();) {
    const auto here = it++;
    if (!matches(*here, Ordered::What::kDrop, table)) continue;
    here->left -= records;
    if (here->left > 0) continue;
    here->left = here->period;
    status.emplace(here->code, padded("stream ended by an ordered fault (drop)", here->text_bytes));
    if (used_up(*here)) faults_.erase(here);
  }
  return status;
}

std::optional<std::string> Faults::on_record(std::string_view table, std::string_view record) {
  if (!any_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::optional<std::string> reason;
  for (auto it = faults_.begin(); it != faults_.end();) {
    const auto here = it++;
    if (matches(*here, Ordered::What::kRejectMatch, table) &&
        record.find(here->match) != std::string_view::npos) {
      reason = "refused by an ordered fault (reject match=" + quoted_sample(here->match) + ")";
    } else if (matches(*here, Ordered::What::kRejectRecord, table) && --here->left == 0) {
      reason = "refused by an ordered fault (reject record)";
      faults_.erase(here);
    }
  }
  return reason;
}

bool Faults::frozen(std::string_view table) const { return ordered(Ordered::What::kFreeze, table); }

bool Faults::unread(std::string_view table) const { return ordered(Ordered::What::kNoRead, table); }

Rotation Faults::rotation(std::string_view table) const {
  const std::lock_guard lock(mutex_);
  return glob_matches(rotation_.table, table) ? rotation_ : Rotation{};
}

std::optional<WorkspaceFault> Faults::on_workspace(WorkspaceFault::Call call) {
  const std::lock_guard lock(mutex_);
  for (auto it = workspace_.begin(); it != workspace_.end(); ++it) {
    if (it->call != WorkspaceFault::Call::kAny && it->call != call) continue;
    const WorkspaceFault fault = *it;
    if (it->times > 0 && --it->times == 0) workspace_.erase(it);
    return fault;
  }
  return std::nullopt;
}

AckRules Faults::rules(AckRules normal) const {
  normal.hold = no_acks_;
  normal.slow = Millis(slow_ms_);
  return normal;
}

std::string Faults::to_json(const Ordered& fault) {
  constexpr std::array<std::string_view, 6> kWhat = {"drop",          "reject", "reject",
                                                     "refuse-create", "freeze", "no-read"};
  std::string out = "{\"fault\":\"" + std::string(kWhat[static_cast<size_t>(fault.what)]) + "\"";
  out += ",\"table\":";
  append_json_string(fault.table, out);
  if (fault.what == Ordered::What::kDrop || fault.what == Ordered::What::kRefuseCreate) {
    out += ",\"status\":\"" + std::string(status_name(fault.code)) + "\"";
    out += ",\"times_left\":" + (fault.times > 0 ? std::to_string(fault.times) : "null");
  }
  if (fault.what == Ordered::What::kDrop || fault.what == Ordered::What::kRejectRecord) {
    out += ",\"records_left\":" + std::to_string(fault.left);
  }
  if (fault.what == Ordered::What::kRejectMatch) {
    out += ",\"match\":";
    append_json_string(fault.match, out);
  }
  return out + "}";
}

std::string Faults::to_json() const {
  const std::lock_guard lock(mutex_);
  std::string out;
  const auto next = [&out] { out += out.empty() ? "[" : ","; };
  for (const auto& fault : faults_) {
    next();
    out += to_json(fault);
  }
  if (no_acks_) {
    next();
    out += "{\"fault\":\"no-acks\"}";
  }
  if (slow_ms_ > 0) {
    next();
    out += "{\"fault\":\"slow-acks\",\"ms\":" + std::to_string(slow_ms_) + "}";
  }
  if (rotation_.every > Millis(0)) {
    next();
    out += "{\"fault\":\"rotate\",\"every_ms\":" + std::to_string(rotation_.every.count()) +
           ",\"grace_ms\":" + std::to_string(rotation_.grace.count()) +
           ",\"hard\":" + (rotation_.hard ? "true" : "false") + ",\"table\":";
    append_json_string(rotation_.table, out);
    out += "}";
  }
  for (const auto& fault : workspace_) {
    next();
    out += "{\"fault\":\"workspace\",\"times_left\":" +
           (fault.times > 0 ? std::to_string(fault.times) : "null") + "}";
  }
  return (out.empty() ? "[" : out) + "]";
}

}  // namespace penstock::local
