// Transport: streams to one Zerobus endpoint, as an interface. connect() makes the gRPC one; tests
// make their own.
//
// Threads: open(), write(), half_close() and cancel() are thread-safe and never block on the
// network. StreamEvents are called on gRPC's threads, for one stream never two at a time, possibly
// before open() has returned; they must only hand the event on to the owner's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/log.h"
#include "agent/base/result.h"
#include "agent/zerobus/endpoint.h"
#include "agent/zerobus/status.h"
#include "agent/zerobus/wire.h"

namespace penstock::zerobus {

struct StreamOpen {
  uint64_t generation = 0;  // handed back with every event
  std::string table;        // catalog.schema.table
  Encoding encoding = Encoding::kJson;
  std::string descriptor;  // for kProto
  std::string bearer;      // access token, without "Bearer "
};

class StreamEvents {
 public:
  virtual ~StreamEvents() = default;
  // Also a CloseSignal when the server wants the connection left (HTTP/2 GOAWAY).
  virtual void on_response(uint64_t generation, Response response) = 0;
  // The server sent something unreadable. The stream goes on; its owner will want to cancel it.
  virtual void on_bad_response(uint64_t generation, Error error) = 0;
  // The oldest `count` batches given to write() that were not told of have passed flow control.
  // While others wait it comes late, for several at once.
  virtual void on_writes_done(uint64_t generation, size_t count) = 0;
  // Exactly once for every stream, after everything else. The server's status, or what the
  // connection died of.
  virtual void on_closed(uint64_t generation, Status status) = 0;
};

class Stream {
 public:
  virtual ~Stream() =
      default;  // cancels, unless the stream has already ended: keep it until on_closed

  // Sends `body`, a run of rows (wire.h), as the request with `offset`. One is sent at a time;
  // more wait and follow it at once, as many as the caller gives. The first may be given as soon as
  // the stream is open. `body` is shared, not copied, and released when gRPC is done with it, which
  // can be later than on_writes_done. Without effect on a stream that has ended.
  virtual void write(int64_t offset, std::shared_ptr<const std::string> body) = 0;
  // Of what was given to write(), what has not begun, newest first, is not sent. Returns how many.
  virtual size_t take_back() = 0;
  // No more writes, after those that wait; acks still arrive until on_closed.
  virtual void half_close() = 0;
  // Ends the stream now; on_closed follows.
  virtual void cancel() = 0;
};

class Transport {
 public:
  // Prepares channels; nothing is connected or read yet, so that trouble that passes (a CA file
  // that is not there yet) is a stream's. `user_agent` as in "penstock/0.1".
  static Result<std::unique_ptr<Transport>> connect(const Endpoint& endpoint,
                                                    std::string_view user_agent, Log log);
  // Cancels what is open and returns when the last on_closed has returned. Not from within an
  // event.
  virtual ~Transport() = default;

  // Starts a stream and sends its create request; StreamCreated or on_closed will follow, unless
  // the network swallows both: the caller needs its own timer and cancel(). Events go to `events`
  // while it lives. After an error no event follows. kDenied: the token or the table name holds
  // bytes that no header can carry. kTransient: the CA file cannot be used; it is read for every
  // new connection.
  virtual Result<std::shared_ptr<Stream>> open(StreamOpen open,
                                               std::weak_ptr<StreamEvents> events) = 0;
};

}  // namespace penstock::zerobus
