#include "tests/zerobus_local/faults.h"

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

void Faults::add_drop(grpc::StatusCode code, int64_t after, std::string table, int64_t times) {
  add({Ordered::What::kDrop, std::move(table), code, after, after, times, {}});
}

void Faults::add_reject_match(std::string match, std::string table) {
  add({Ordered::What::kRejectMatch, std::move(table), {}, 0, 0, 0, std::move(match)});
}

void Faults::add_reject_record(int64_t record, std::string table) {
  add({Ordered::What::kRejectRecord, std::move(table), {}, 0, record, 1, {}});
}

void Faults::add_refuse_create(grpc::StatusCode code, std::string table, int64_t times) {
  add({Ordered::What::kRefuseCreate, std::move(table), code, 0, 0, times, {}});
}

void Faults::set_no_acks(bool on) { no_acks_ = on; }
void Faults::set_slow_acks(Millis delay) { slow_ms_ = delay.count(); }

void Faults::clear() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
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
    grpc::Status status(it->code, "stream refused by an ordered fault (refuse-create)");
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
    status.emplace(here->code, "stream ended by an ordered fault (drop)");
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

AckRules Faults::rules(AckRules normal) const {
  normal.hold = no_acks_;
  normal.slow = Millis(slow_ms_);
  return normal;
}

std::string Faults::to_json(const Ordered& fault) {
  constexpr std::array<std::string_view, 4> kWhat = {"drop", "reject", "reject", "refuse-create"};
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
  return (out.empty() ? "[" : out) + "]";
}

}  // namespace penstock::local
