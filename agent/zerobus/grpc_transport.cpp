// The gRPC transport: a callback reactor per stream over GenericStub<ByteBuffer>, so that a batch
// goes out as a small header slice and one slice that refers to the caller's bytes.
//
// Calls fail fast rather than wait for a connection: the status then says what is wrong (refused,
// no such name, the certificate), and the session's backoff keeps the pace. The channel goes on
// connecting by itself meanwhile.
//
// Lifetime: the pool keeps a GrpcCall from start() until OnDone; handles only share it. gRPC may
// run OnDone as soon as no operation is pending, so one hold is taken at the start and given back
// when the read side has ended; after that `ended_` keeps every late write() and cancel() away from
// the call. The last reference to a channel must not go on one of gRPC's own threads, which it
// would join: so the context, which holds one, goes before OnDone has counted the call as ended,
// and the transport keeps its channels until then.
#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include <grpc/grpc.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/slice.h>

#include "agent/zerobus/transport.h"

namespace penstock::zerobus {
namespace {

constexpr int kStreamsPerChannel = 32;  // below the limit of 100 that HTTP/2 servers usually set
constexpr int kMaxResponseBytes = 1 << 20;

class GrpcCall;

// A channel and how many streams use it. Kept for ever: a channel reconnects by itself.
struct PooledChannel {
  std::shared_ptr<grpc::Channel> channel;
  int streams = 0;
};

// The streams of a transport; shared, because OnDone may return a moment after the transport has
// gone.
struct Pool {
  std::mutex mutex;
  std::condition_variable all_ended;
  std::set<std::shared_ptr<GrpcCall>> calls;
};

grpc::Slice referring_slice(std::shared_ptr<const std::string> body) {
  using Owner = std::shared_ptr<const std::string>;
  const auto owner = new Owner(std::move(body));
  auto* const bytes = const_cast<char*>((*owner)->data());  // gRPC's signature; it only reads
  return grpc::Slice(
      bytes, (*owner)->size(), [](void* held) { delete static_cast<Owner*>(held); }, owner);
}

std::string joined(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

class GrpcCall : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  GrpcCall(StreamOpen open, std::weak_ptr<StreamEvents> events, std::shared_ptr<Pool> pool,
           PooledChannel& channel)  // outlives OnDone
      : generation_(open.generation),
        encoding_(open.encoding),
        events_(std::move(events)),
        pool_(std::move(pool)),
        channel_(channel) {
    context_->AddMetadata("authorization", "Bearer " + open.bearer);
    context_->AddMetadata("x-databricks-zerobus-table-name", open.table);
    const grpc::Slice create(create_request(open.table, open.encoding, open.descriptor));
    outgoing_ = grpc::ByteBuffer(&create, 1);
  }

  void start() {
    grpc::GenericStub stub(channel_.channel);
    stub.PrepareBidiStreamingCall(context_.get(), kStreamMethod, {}, this);
    AddHold();
    StartRead(&incoming_);
    StartWrite(&outgoing_);
    StartCall();
  }

  void write(int64_t offset, std::shared_ptr<const std::string> body) {
    const grpc::Slice header(batch_header(offset, encoding_, body->size()));
    const grpc::Slice slices[] = {header, referring_slice(std::move(body))};
    grpc::ByteBuffer message(slices, 2);
    const std::lock_guard lock(mutex_);
    if (ended_ || half_closed_) return;
    // The create response can arrive before gRPC reports the create request as written.
    if (write_pending_) {
      queued_.Swap(&message);
    } else {
      start_write(message);
    }
  }

  void half_close() {
    const std::lock_guard lock(mutex_);
    if (ended_ || half_closed_) return;
    half_closed_ = true;
    if (!write_pending_) StartWritesDone();
  }

  void cancel() {
    std::shared_ptr<grpc::ClientContext> context;
    {
      const std::lock_guard lock(mutex_);
      if (!ended_) context = context_;
    }
    if (context) context->TryCancel();
  }

 private:
  void start_write(grpc::ByteBuffer& message) {
    outgoing_.Swap(&message);
    write_pending_ = true;
    StartWrite(&outgoing_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      {
        const std::lock_guard lock(mutex_);
        ended_ = true;
      }
      RemoveHold();
      return;
    }
    auto response = parse_response(joined(incoming_));
    incoming_.Clear();
    if (response) {
      emit([&](StreamEvents& events) { events.on_response(generation_, *std::move(response)); });
    } else {
      emit([&](StreamEvents& events) {
        events.on_bad_response(generation_, std::move(response).error());
      });
    }
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    bool batch_done = false;
    {
      const std::lock_guard lock(mutex_);
      outgoing_.Clear();  // gRPC holds its own reference while it needs the bytes
      write_pending_ = false;
      batch_done = std::exchange(created_, true);
      if (!ok || ended_) {
        queued_.Clear();
        return;
      }
      if (queued_.Length() > 0) {
        start_write(queued_);
      } else if (half_closed_) {
        StartWritesDone();
      }
    }
    if (batch_done) emit([&](StreamEvents& events) { events.on_write_done(generation_); });
  }

  void OnDone(const grpc::Status& status) override {
    emit([&](StreamEvents& events) {
      events.on_closed(generation_,
                       {static_cast<int>(status.error_code()), status.error_message()});
    });
    release_context();
    const std::shared_ptr<Pool> pool = pool_;
    std::shared_ptr<GrpcCall> self;  // goes after the lock
    const std::lock_guard lock(pool->mutex);
    --channel_.streams;
    const auto found = std::find_if(pool->calls.begin(), pool->calls.end(),
                                    [this](const auto& call) { return call.get() == this; });
    self = std::move(pool->calls.extract(found).value());
    pool->all_ended.notify_all();
  }

  // What a failed write was sending stays with the call until its context goes; handles may live
  // longer.
  void release_context() {
    std::shared_ptr<grpc::ClientContext> context;
    const std::lock_guard lock(mutex_);
    context.swap(context_);
  }

  template <class Use>
  void emit(Use use) {
    const std::lock_guard lock(events_mutex_);
    if (const auto events = events_.lock()) use(*events);
  }

  const uint64_t generation_;
  const Encoding encoding_;
  const std::weak_ptr<StreamEvents> events_;
  const std::shared_ptr<Pool> pool_;
  PooledChannel& channel_;
  grpc::ByteBuffer incoming_;
  std::mutex events_mutex_;  // events of one stream never overlap

  std::mutex mutex_;
  std::shared_ptr<grpc::ClientContext> context_ = std::make_shared<grpc::ClientContext>();
  grpc::ByteBuffer outgoing_;  // gRPC reads it while write_pending_
  grpc::ByteBuffer queued_;
  bool write_pending_ = true;  // the create request first
  bool created_ = false;       // the create request has been written
  bool half_closed_ = false;
  bool ended_ = false;  // the read side is over: the call may vanish at any time
};

class GrpcStream : public Stream {
 public:
  explicit GrpcStream(std::shared_ptr<GrpcCall> call) : call_(std::move(call)) {}
  ~GrpcStream() override { call_->cancel(); }
  void write(int64_t offset, std::shared_ptr<const std::string> body) override {
    call_->write(offset, std::move(body));
  }
  void half_close() override { call_->half_close(); }
  void cancel() override { call_->cancel(); }

 private:
  std::shared_ptr<GrpcCall> call_;
};

// gRPC aborts the process on metadata that no header can carry, so it is checked first.
Result<void> check_header(std::string_view what, std::string_view value) {
  for (size_t i = 0; i < value.size(); ++i) {
    const auto byte = static_cast<unsigned char>(value[i]);
    if (byte >= 0x20 && byte <= 0x7E) continue;
    return Error{
        ErrorKind::kDenied,
        fmt::format("the {} has the byte 0x{:02X} at {}, which no header can carry; remove "
                    "it (a line break at the end of a file?)",
                    what, byte, i),
        {}};
  }
  if (!value.empty()) return {};
  return Error{ErrorKind::kDenied, fmt::format("the {} is empty", what), {}};
}

Result<std::string> read_ca(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (in) text << in.rdbuf();
  if (!in || !text) {
    return Error{ErrorKind::kDenied, fmt::format("CA file {} cannot be read", file), {}};
  }
  if (text.str().find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return Error{
        ErrorKind::kDenied,
        fmt::format("CA file {} holds no PEM certificate (-----BEGIN CERTIFICATE-----)", file),
        {}};
  }
  return text.str();
}

grpc::ChannelArguments channel_arguments(const Endpoint& endpoint, const std::string& user_agent) {
  grpc::ChannelArguments arguments;
  // Separate channels are separate connections.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Pings also give the connection a TCP user timeout. At most two without data (the default), so
  // that no server counts them as abuse; an idle stream has nothing to lose.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // The session has its own backoff; the connection's only has to be no slower.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5'000);  // also the limit of one connect
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 10'000);
  arguments.SetInt(GRPC_ARG_DNS_ARES_QUERY_TIMEOUT_MS, 5'000);  // default: two minutes
  arguments.SetMaxSendMessageSize(-1);  // the batch size is bounded elsewhere
  arguments.SetMaxReceiveMessageSize(kMaxResponseBytes);
  arguments.SetUserAgentPrefix(user_agent);
  if (endpoint.is_loopback()) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

class GrpcTransport : public Transport {
 public:
  GrpcTransport(const Endpoint& endpoint, std::string_view user_agent,
                std::shared_ptr<grpc::ChannelCredentials> credentials, Log log)
      : address_(endpoint.address()),
        arguments_(channel_arguments(endpoint, std::string(user_agent))),
        credentials_(std::move(credentials)),
        log_(std::move(log)) {}

  ~GrpcTransport() override {
    std::unique_lock lock(pool_->mutex);
    const auto calls = pool_->calls;
    lock.unlock();
    for (const auto& call : calls) call->cancel();
    lock.lock();
    pool_->all_ended.wait(lock, [&] { return pool_->calls.empty(); });
  }

  Result<std::shared_ptr<Stream>> open(StreamOpen open,
                                       std::weak_ptr<StreamEvents> events) override {
    if (auto ok = check_header("access token", open.bearer); !ok) return ok.error();
    if (auto ok = check_header("table name", open.table); !ok) return ok.error();
    std::shared_ptr<GrpcCall> call;
    {
      const std::lock_guard lock(pool_->mutex);
      PooledChannel& channel = free_channel();
      ++channel.streams;
      call = std::make_shared<GrpcCall>(std::move(open), std::move(events), pool_, channel);
      pool_->calls.insert(call);
    }
    call->start();
    return std::shared_ptr<Stream>(std::make_shared<GrpcStream>(call));
  }

 private:
  PooledChannel& free_channel() {
    for (const auto& channel : channels_) {
      if (channel->streams < kStreamsPerChannel) return *channel;
    }
    auto channel = std::make_unique<PooledChannel>();
    channel->channel = grpc::CreateCustomChannel(address_, credentials_, arguments_);
    channels_.push_back(std::move(channel));
    log_.debug("connection {} to {}", channels_.size(), address_);
    return *channels_.back();
  }

  const std::string address_;
  const grpc::ChannelArguments arguments_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const Log log_;
  const std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
  std::vector<std::unique_ptr<PooledChannel>> channels_;  // under pool_->mutex
};

// One reference to the library for the life of the process: shutting it down with the last channel
// has been seen to block for ten seconds.
void keep_library() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

}  // namespace

Result<std::unique_ptr<Transport>> Transport::connect(const Endpoint& endpoint,
                                                      std::string_view user_agent, Log log) {
  keep_library();
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (endpoint.tls) {
    grpc::SslCredentialsOptions options;
    if (!endpoint.ca_file.empty()) {
      auto roots = read_ca(endpoint.ca_file);
      if (!roots) return std::move(roots).error();
      options.pem_root_certs = *std::move(roots);
    }
    credentials = grpc::SslCredentials(options);
  }
  return std::unique_ptr<Transport>(std::make_unique<GrpcTransport>(
      endpoint, user_agent, std::move(credentials), std::move(log)));
}

}  // namespace penstock::zerobus
