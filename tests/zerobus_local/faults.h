// The faults an operator or a test has ordered, and the decisions that follow from them.
//
// Thread-safe; no I/O. Records and table names come in, verdicts go out; streams act on them. A
// table argument is a glob over table names, "*" when absent. Without any fault every call costs
// one atomic load.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <grpcpp/support/status.h>

#include "agent/base/clock.h"
#include "tests/zerobus_local/ack_schedule.h"

namespace penstock::local {

class Faults {
 public:
  // After `after` more records of matching tables the stream that received the last of them ends
  // with `code`, without further acknowledgements; then it counts anew, `times` times in all (0 =
  // until cleared).
  void add_drop(grpc::StatusCode code, int64_t after, std::string table, int64_t times);
  // Every record that contains `match` is refused, until cleared.
  void add_reject_match(std::string match, std::string table);
  // The `record`th record of matching tables from now (1 = the next) is refused, once.
  void add_reject_record(int64_t record, std::string table);
  // Opening a stream fails with `code`, `times` times (0 = until cleared).
  void add_refuse_create(grpc::StatusCode code, std::string table, int64_t times);
  void set_no_acks(bool on);
  void set_slow_acks(Millis delay);
  void clear();

  // Asked by streams. A status that is returned must be acted upon: it has been counted.
  std::optional<grpc::Status> on_create(std::string_view table);
  std::optional<grpc::Status> on_received(std::string_view table, int64_t records);
  std::optional<std::string> on_record(std::string_view table, std::string_view record);
  AckRules rules(AckRules normal) const;  // `normal` with the ordered faults on top

  // A JSON array of objects, one per active fault.
  std::string to_json() const;

 private:
  struct Ordered {
    enum class What { kDrop, kRejectMatch, kRejectRecord, kRefuseCreate } what;
    std::string table;
    grpc::StatusCode code = grpc::StatusCode::OK;
    int64_t period = 0;  // kDrop: records per firing
    int64_t left = 0;    // kDrop, kRejectRecord: records still to come
    int64_t times = 0;   // firings still to come; 0 = for ever
    std::string match;
  };
  bool matches(const Ordered& fault, Ordered::What what, std::string_view table) const;
  void add(Ordered fault);
  static bool used_up(Ordered& fault);
  static std::string to_json(const Ordered& fault);

  std::atomic<bool> any_{false};  // faults_ is not empty
  std::atomic<bool> no_acks_{false};
  std::atomic<int64_t> slow_ms_{0};
  mutable std::mutex mutex_;
  std::list<Ordered> faults_;
};

// "UNAVAILABLE" or "14". Nothing for an unknown name.
std::optional<grpc::StatusCode> parse_status(std::string_view text);
std::string_view status_name(grpc::StatusCode code);

}  // namespace penstock::local
