// The gRPC transport: channels and the way to open a stream on one. A batch goes out as a small
// header slice and one slice that refers to the caller's bytes (grpc_call.cpp).
//
// Calls fail fast rather than wait for a connection: the status then says what is wrong (refused,
// no such name, the certificate), and the session's backoff keeps the pace (grpc_channels.h).
#include "agent/zerobus/grpc_transport.h"

#include <cstdlib>
#include <utility>
#include <vector>

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/security/credentials.h>

#include "agent/zerobus/ca_file.h"
#include "agent/zerobus/grpc_call.h"
#include "agent/zerobus/header_value.h"

namespace penstock::zerobus {
namespace {

class GrpcStream : public Stream {
 public:
  explicit GrpcStream(std::shared_ptr<GrpcCall> call) : call_(std::move(call)) {}
  ~GrpcStream() override { call_->cancel(); }
  void write(int64_t offset, std::shared_ptr<const std::string> body) override {
    call_->write(offset, std::move(body));
  }
  size_t take_back() override { return call_->take_back(); }
  void half_close() override { call_->half_close(); }
  void cancel() override { call_->cancel(); }

 private:
  std::shared_ptr<GrpcCall> call_;
};

Result<std::shared_ptr<grpc::ChannelCredentials>> credentials_for(const Endpoint& endpoint) {
  if (!endpoint.tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  if (!endpoint.ca_file.empty()) {
    auto roots = read_ca_file(endpoint.ca_file);
    if (!roots) return std::move(roots).error();
    options.pem_root_certs = *std::move(roots);
  }
  return grpc::SslCredentials(options);
}

class GrpcTransport : public Transport {
 public:
  GrpcTransport(const Endpoint& endpoint, std::string_view user_agent, Log log, MonoClock clock)
      : channels_(
            endpoint.address(), [endpoint] { return credentials_for(endpoint); },
            channel_arguments(endpoint, std::string(user_agent)), std::move(log)) {
    if (endpoint.proxy) pool_->proxy = endpoint.proxy->address();
    pool_->clock = std::move(clock);
  }

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
    if (auto ok = check_header_value("access token", open.bearer); !ok) return ok.error();
    if (auto ok = check_header_value("table name", open.table); !ok) return ok.error();
    std::shared_ptr<GrpcCall> call;
    std::vector<std::unique_ptr<PooledChannel>> unused;  // goes after the lock
    const MonoTime now = pool_->clock();
    {
      const std::lock_guard lock(pool_->mutex);
      auto place = channels_.pick(open.table, now);
      if (!place) return std::move(place).error();
      call = std::make_shared<GrpcCall>(std::move(open), std::move(events), pool_, channels_,
                                        *std::move(place));
      pool_->calls.insert(call);
      unused = channels_.unused();
    }
    call->start(completions_.queue());
    return std::shared_ptr<Stream>(std::make_shared<GrpcStream>(call));
  }

 private:
  const std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
  Channels channels_;  // under pool_->mutex
  Completions completions_;
};

// One reference to the library for the life of the process: shutting it down with the last channel
// has been seen to block for ten seconds. Its own log would repeat with every attempt what the
// status says once; GRPC_VERBOSITY in the environment brings it back.
void keep_library() {
  static const bool kept = [] {
    if (std::getenv("GRPC_VERBOSITY") == nullptr) gpr_set_log_function([](gpr_log_func_args*) {});
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

}  // namespace

Result<std::unique_ptr<Transport>> Transport::connect(const Endpoint& endpoint,
                                                      std::string_view user_agent, Log log) {
  return grpc_transport(endpoint, user_agent, std::move(log), [] { return read_clock().mono; });
}

std::unique_ptr<Transport> grpc_transport(const Endpoint& endpoint, std::string_view user_agent,
                                          Log log, MonoClock clock) {
  keep_library();
  return std::make_unique<GrpcTransport>(endpoint, user_agent, std::move(log), std::move(clock));
}

}  // namespace penstock::zerobus
