// Which streams are open, and what each table has seen since the server started.
//
// Thread-safe. Holds the streams' faces only; it is also how the admin side reaches them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <grpcpp/support/status.h>

#include "agent/base/clock.h"

namespace penstock::local {

struct StreamInfo {
  std::string id;           // empty until create_stream was accepted
  std::string table;        // as the header named it until then
  std::string record_type;  // PROTO or JSON
  int64_t received = 0;     // requests
  int64_t acked = 0;        // requests
  int64_t records = 0;
  bool ending = false;
};

// A stream as seen from outside. All calls from any thread.
class StreamFace {
 public:
  virtual ~StreamFace() = default;
  virtual StreamInfo info() const = 0;
  virtual void fault_changed() = 0;         // what holds for this stream may have changed
  virtual void say(std::string bytes) = 0;  // a message of its own, whatever it means
  virtual void end_at_once(const grpc::Status& status) = 0;  // no further acknowledgement
  virtual void drain(const grpc::Status& status) = 0;  // read no more, store, acknowledge, then end
  virtual void signal_close(Millis grace) = 0;         // close_stream_signal, then drain with OK
};

class Registry {
 public:
  struct Tally {
    int64_t streams = 0;           // opened
    int64_t received_records = 0;  // taken in; stored rows are counted by the store
    int64_t refused_requests = 0;
  };

  // False once closed: no new streams while the server stops.
  bool add(std::shared_ptr<StreamFace> stream);
  void remove(const StreamFace* stream);
  std::vector<std::shared_ptr<StreamFace>> streams() const;
  void close();
  // True when the last stream is gone before the deadline.
  bool wait_until_empty(MonoTime deadline);

  void count_opened(const std::string& table);
  void count_received(const std::string& table, int64_t records);
  void count_refused(const std::string& table);
  std::map<std::string, Tally> tallies() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable removed_;
  std::map<const StreamFace*, std::shared_ptr<StreamFace>> streams_;
  std::map<std::string, Tally> tallies_;
  bool closed_ = false;
};

}  // namespace penstock::local
