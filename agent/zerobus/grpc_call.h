// GrpcCall: one stream as a gRPC callback reactor. Private to the gRPC transport.
//
// Lifetime: the pool keeps a call from start() until OnDone; handles only share it. gRPC may run
// OnDone as soon as no operation is pending, so one hold is taken at the start and given back when
// the read side has ended; after that `ended_` keeps every late write() and cancel() away from the
// call. The last reference to a channel must not go on one of gRPC's own threads, which it would
// join: so the context, which holds one, goes before OnDone gives the stream's place back, and the
// transport keeps its channels until then. Threads: write, half_close and cancel from any; gRPC's
// reactions come on its own threads, reads and writes at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include "agent/zerobus/grpc_channels.h"
#include "agent/zerobus/transport.h"

namespace penstock::zerobus {

class GrpcCall;

// The streams of a transport; shared, because OnDone may return a moment after the transport has
// gone.
struct Pool {
  std::mutex mutex;
  std::condition_variable all_ended;
  std::set<std::shared_ptr<GrpcCall>> calls;
  std::string proxy;  // "host:port", named with connections that fail; set before the first call
};

class GrpcCall : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // `channel` counts this stream and outlives OnDone.
  GrpcCall(StreamOpen open, std::weak_ptr<StreamEvents> events, std::shared_ptr<Pool> pool,
           PooledChannel& channel);

  void start();
  void write(int64_t offset, std::shared_ptr<const std::string> body);
  void half_close();
  void cancel();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  void start_write(grpc::ByteBuffer& message);  // under mutex_
  void heard();
  void note_goaway();
  void note_silence();  // under mutex_
  void release_context();
  size_t largest_sent();

  template <class Use>
  void emit(Use use) {
    const std::lock_guard lock(events_mutex_);
    if (const auto events = events_.lock()) use(*events);
  }

  const uint64_t generation_;
  const Encoding encoding_;
  const std::string bearer_;  // kept out of what the server says
  const std::weak_ptr<StreamEvents> events_;
  const std::shared_ptr<Pool> pool_;
  PooledChannel& channel_;
  const uint64_t heard_before_;
  grpc::ByteBuffer incoming_;
  std::mutex events_mutex_;  // events of one stream never overlap
  std::atomic<bool> goaway_told_{false};

  std::mutex mutex_;
  std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  grpc::ByteBuffer outgoing_;  // gRPC reads it while write_pending_
  grpc::ByteBuffer queued_;
  size_t largest_sent_bytes_ = 0;
  bool write_pending_ = true;  // the create request first
  bool created_ = false;       // the create request has been written
  bool answered_ = false;      // the server has said something
  bool half_closed_ = false;
  bool ended_ = false;  // the read side is over: the call may vanish at any time
};

}  // namespace penstock::zerobus
