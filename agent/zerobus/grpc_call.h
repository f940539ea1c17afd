// GrpcCall: one stream as operations of gRPC's asynchronous API. Private to the gRPC transport.
//
// Lifetime: the pool keeps a call from start() until the last of its operations has come back;
// handles only share it. When the read side has ended the status is asked for, and `ended_` keeps
// every late write() and cancel() away from the call. The last reference to a channel must not go
// on one of gRPC's own threads, which it would join: so the context, which holds one, goes before
// the stream's place is given back, and the transport keeps its channels until then. Threads:
// write, half_close and cancel from any; what operations lead to, and every event, on the thread of
// Completions.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>

#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include "agent/zerobus/grpc_channels.h"
#include "agent/zerobus/grpc_completions.h"
#include "agent/zerobus/grpc_words.h"
#include "agent/zerobus/transport.h"

namespace penstock::zerobus {

class GrpcCall;

// The streams of a transport; shared, because handles to ended ones may live longer.
struct Pool {
  std::mutex mutex;
  std::condition_variable all_ended;
  std::set<std::shared_ptr<GrpcCall>> calls;
  // Set before the first call.
  std::string proxy;  // "host:port", named with connections that fail
  MonoClock clock;
};

class GrpcCall {
 public:
  // `channels`, under the pool's lock, outlives the last operation; `place` is this stream's there.
  GrpcCall(StreamOpen open, std::weak_ptr<StreamEvents> events, std::shared_ptr<Pool> pool,
           Channels& channels, Place place);

  void start(grpc::CompletionQueue& queue);
  void write(int64_t offset, std::shared_ptr<const std::string> body);
  size_t take_back();
  void half_close();
  void cancel();

 private:
  // One of these is under way at most once at a time.
  class Pending final : public Operation {
   public:
    Pending(GrpcCall& call, void (GrpcCall::*next)(bool)) : call_(call), next_(next) {}
    void done(bool ok) override { call_.finish_operation(next_, ok); }

   private:
    GrpcCall& call_;
    void (GrpcCall::*const next_)(bool);
  };

  void finish_operation(void (GrpcCall::*next)(bool), bool ok);
  void on_read(bool ok);
  void on_written(bool ok);
  void on_half_closed(bool) {}
  void on_status(bool) {}
  void end();

  // All under mutex_.
  void read();
  void start_write();
  void start_half_close();
  void ask_status();

  void heard();
  void note_goaway();
  Result<void> check_ack(const Response& response);
  void release_context();
  SentSizes sent_sizes();

  // On the thread of Completions only, so the events of one stream never overlap.
  template <class Use>
  void emit(Use use) {
    if (const auto events = events_.lock()) use(*events);
  }

  const uint64_t generation_;
  const Encoding encoding_;
  const std::string bearer_;  // kept out of what the server says
  const std::weak_ptr<StreamEvents> events_;
  const std::shared_ptr<Pool> pool_;
  Channels& channels_;  // under the pool's lock
  const Place place_;
  grpc::ByteBuffer incoming_;
  grpc::Status status_;
  bool goaway_told_ = false;
  bool taken_ = false;  // the server has answered the create request
  Pending read_{*this, &GrpcCall::on_read};
  Pending written_{*this, &GrpcCall::on_written};
  Pending half_close_done_{*this, &GrpcCall::on_half_closed};
  Pending status_known_{*this, &GrpcCall::on_status};

  std::mutex mutex_;
  std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;  // goes before the context
  int operations_ = 0;                                            // under way
  std::deque<grpc::ByteBuffer> queued_;  // for the write under way; first the create request
  int64_t begun_ = -1;                   // writes of batches; the create request is none
  size_t unreported_ = 0;                // writes that are done
  size_t largest_sent_bytes_ = 0;
  bool write_pending_ = true;  // the create request first
  bool created_ = false;       // the create request has been written
  bool answered_ = false;      // the server has said something
  bool half_closed_ = false;
  bool ended_ = false;  // the read side is over: the call may vanish at any time
};

}  // namespace penstock::zerobus
