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

// Streams end by their age, as the service ends them so that a fresh token is shown. every = 0:
// they do not.
struct Rotation {
  Millis every{0};
  Millis grace{0};    // between close_stream_signal and the end
  bool hard = false;  // no signal: UNAVAILABLE at once
  std::string table = "*";
};

// What the workspace calls answer instead of the truth.
struct WorkspaceFault {
  enum class Call { kAny, kToken, kTable };
  enum class Answer { kStatus, kGarbage, kEmpty, kHang };
  Call call = Call::kAny;
  Answer answer = Answer::kStatus;
  int status = 500;  // HTTP; for kStatus
  std::optional<int> retry_after_s;
  int64_t times = 0;  // 0 = until cleared
};

class Faults {
 public:
  // `always` stays when orders are cleared.
  explicit Faults(Rotation always = {}) : always_(always), rotation_(std::move(always)) {}

  // `text_bytes`: the status text is made this long.
  // After `after` more records of matching tables the stream that received the last of them ends
  // with `code`, without further acknowledgements; then it counts anew, `times` times in all (0 =
  // until cleared).
  void add_drop(grpc::StatusCode code, int64_t after, std::string table, int64_t times,
                int64_t text_bytes = 0);
  // Every record that contains `match` is refused, until cleared.
  void add_reject_match(std::string match, std::string table);
  // The `record`th record of matching tables from now (1 = the next) is refused, once.
  void add_reject_record(int64_t record, std::string table);
  // Opening a stream fails with `code`, `times` times (0 = until cleared).
  void add_refuse_create(grpc::StatusCode code, std::string table, int64_t times,
                         int64_t text_bytes = 0);
  // Streams of matching tables get no word: no headers, no answer, no end. Off: what is due goes
  // out. The table must be the one it was set for.
  void set_freeze(std::string table, bool on);
  // Open streams of matching tables are not read, so that flow control stops the client.
  void set_no_read(std::string table, bool on);
  void set_rotation(Rotation rotation);
  void add_workspace(WorkspaceFault fault);
  void set_no_acks(bool on);
  void set_slow_acks(Millis delay);
  void clear();

  // Asked by streams. A status that is returned must be acted upon: it has been counted.
  std::optional<grpc::Status> on_create(std::string_view table);
  std::optional<grpc::Status> on_received(std::string_view table, int64_t records);
  std::optional<std::string> on_record(std::string_view table, std::string_view record);
  bool frozen(std::string_view table) const;
  bool unread(std::string_view table) const;
  Rotation rotation(std::string_view table) const;  // every = 0: none for this table
  std::optional<WorkspaceFault> on_workspace(WorkspaceFault::Call call);
  AckRules rules(AckRules normal) const;  // `normal` with the ordered faults on top

  // A JSON array of objects, one per active fault.
  std::string to_json() const;

 private:
  struct Ordered {
    enum class What { kDrop, kRejectMatch, kRejectRecord, kRefuseCreate, kFreeze, kNoRead } what;
    std::string table;
    grpc::StatusCode code = grpc::StatusCode::OK;
    int64_t period = 0;  // kDrop: records per firing
    int64_t left = 0;    // kDrop, kRejectRecord: records still to come
    int64_t times = 0;   // firings still to come; 0 = for ever
    std::string match;
    int64_t text_bytes = 0;
  };
  bool matches(const Ordered& fault, Ordered::What what, std::string_view table) const;
  void add(Ordered fault);
  void set(Ordered::What what, std::string table, bool on);
  bool ordered(Ordered::What what, std::string_view table) const;
  static bool used_up(Ordered& fault);
  static std::string to_json(const Ordered& fault);

  std::atomic<bool> any_{false};  // faults_ is not empty
  std::atomic<bool> no_acks_{false};
  std::atomic<int64_t> slow_ms_{0};
  mutable std::mutex mutex_;
  std::list<Ordered> faults_;
  std::list<WorkspaceFault> workspace_;
  const Rotation always_;
  Rotation rotation_;
};

// `text` made at least `bytes` long, as ordered.
std::string padded(std::string text, int64_t bytes);

// "UNAVAILABLE" or "14". Nothing for an unknown name.
std::optional<grpc::StatusCode> parse_status(std::string_view text);
std::string_view status_name(grpc::StatusCode code);

}  // namespace penstock::local
