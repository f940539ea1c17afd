// A small Zerobus server made with the generated code, and what the tests of the gRPC transport
// need around it. Servers answer on 127.0.0.1; a Script is the life of one stream, on a thread of
// the server's.
#pragma once

#include <condition_variable>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "zerobus.grpc.pb.h"
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "agent/zerobus/transport.h"
#include "tests/support/mqtt_certificates.h"
#include "tests/support/wait.h"

namespace penstock::zerobus {

namespace pb = databricks::zerobus;
using ServerStream =
    grpc::ServerReaderWriter<pb::EphemeralStreamResponse, pb::EphemeralStreamRequest>;
using Script = std::function<grpc::Status(grpc::ServerContext&, ServerStream&)>;

inline constexpr Millis kSoon{30'000};

inline void answer_create(ServerStream& stream) {
  pb::EphemeralStreamRequest request;
  stream.Read(&request);
  pb::EphemeralStreamResponse response;
  response.mutable_create_stream_response()->set_stream_id("stream-1");
  stream.Write(response);
}

inline void send_ack(ServerStream& stream, int64_t up_to) {
  pb::EphemeralStreamResponse response;
  response.mutable_ingest_record_response()->set_durability_ack_up_to_offset(up_to);
  stream.Write(response);
}

class Server : public pb::Zerobus::Service {
 public:
  explicit Server(Script script, uint16_t port = 0,
                  const std::shared_ptr<grpc::ServerCredentials>& credentials =
                      grpc::InsecureServerCredentials(),
                  int max_streams = 0, int max_receive_bytes = -1)
      : script_(std::move(script)) {
    grpc::ServerBuilder builder;
    int bound = 0;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    if (max_streams) builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, max_streams);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), credentials, &bound);
    builder.SetMaxReceiveMessageSize(max_receive_bytes);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    port_ = static_cast<uint16_t>(bound);
  }
  ~Server() override { die(); }

  void die() {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }
  bool running() const { return server_ != nullptr; }
  Endpoint endpoint() const { return {"127.0.0.1", port_, false, ""}; }
  uint16_t port() const { return port_; }

  std::set<std::string> peers() {
    const std::lock_guard lock(mutex_);
    return peers_;
  }

 private:
  grpc::Status EphemeralStream(grpc::ServerContext* context, ServerStream* stream) override {
    {
      const std::lock_guard lock(mutex_);
      peers_.insert(context->peer());
    }
    stream->SendInitialMetadata();
    return script_(*context, *stream);
  }

  Script script_;
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::set<std::string> peers_;
};

// Remembers events and lets a test wait for them; fails it when an event follows on_closed.
class Recorder : public StreamEvents {
 public:
  void on_response(uint64_t generation, Response response) override {
    event(generation, [&] {
      if (std::holds_alternative<StreamCreated>(response)) ++created;
      if (const auto* ack = std::get_if<Ack>(&response)) acked = ack->up_to;
      if (const auto* close = std::get_if<CloseSignal>(&response)) grace = close->grace;
    });
  }
  void on_bad_response(uint64_t generation, Error error) override {
    event(generation, [&] { bad = error.what; });
  }
  void on_writes_done(uint64_t generation, size_t count) override {
    event(generation, [&] {
      written += static_cast<int>(count);
      ++reports;
    });
  }
  void on_closed(uint64_t generation, Status status) override {
    event(generation, [&] {
      closed.insert(generation);
      last = status;
    });
  }

  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kSoon, condition);
  }
  bool wait_created() {
    return wait([&] { return created > 0; });
  }
  bool wait_closed(uint64_t generation = 1) {
    return wait([&] { return closed.count(generation) > 0; });
  }
  bool wait_written(int count) {
    return wait([&] { return written >= count; });
  }
  Status status() {
    const std::lock_guard lock(mutex_);
    return last;
  }
  size_t closed_count() {
    const std::lock_guard lock(mutex_);
    return closed.size();
  }

  int created = 0;
  int64_t acked = -1;
  std::optional<Millis> grace;
  std::string bad;
  int written = 0;
  int reports = 0;  // that told of them
  std::set<uint64_t> closed;
  Status last{-1, ""};

 private:
  template <class Use>
  void event(uint64_t generation, Use use) {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(closed.count(generation)) << "an event after on_closed, or on_closed twice";
    use();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

inline std::unique_ptr<Transport> transport_to(const Endpoint& endpoint) {
  auto transport = Transport::connect(endpoint, "penstock/test", Log::none());
  EXPECT_TRUE(transport) << transport.error().what;
  return std::move(transport).value();
}

inline StreamOpen request(uint64_t generation = 1, Encoding encoding = Encoding::kJson) {
  return {generation, "main.iot.t", encoding, "\n\x01t", "secret"};
}

inline std::shared_ptr<Stream> open(Transport& transport, const std::shared_ptr<Recorder>& recorder,
                                    StreamOpen what = request()) {
  auto stream = transport.open(std::move(what), recorder);
  EXPECT_TRUE(stream) << stream.error().what;
  return std::move(stream).value();
}

inline std::shared_ptr<const std::string> body_of(std::initializer_list<std::string> rows) {
  std::string body;
  for (const auto& row : rows) append_row(row, body);
  return std::make_shared<const std::string>(std::move(body));
}

inline void wait_for_cancel(grpc::ServerContext& context) {
  test::wait_until([&] { return context.IsCancelled(); }, kSoon);
}

// Opens its stream and says nothing more.
inline Script until_cancelled() {
  return [](grpc::ServerContext& context, ServerStream& stream) {
    answer_create(stream);
    wait_for_cancel(context);
    return grpc::Status::OK;
  };
}

// A stream that opens, carries one request and ends in order.
inline void expect_delivery(const Endpoint& endpoint) {
  const auto transport = transport_to(endpoint);
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  ASSERT_TRUE(recorder->wait_created()) << recorder->status().message;
  stream->write(0, body_of({"{}"}));
  stream->half_close();
  ASSERT_TRUE(recorder->wait_closed());
  EXPECT_EQ(recorder->acked, 0);
}

// For a Server, the certificate of `files`.
inline std::shared_ptr<grpc::ServerCredentials> server_tls(const test::TestAuthority& files) {
  std::ostringstream key;
  std::ostringstream cert;
  key << std::ifstream(files.key).rdbuf();
  cert << std::ifstream(files.cert).rdbuf();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({key.str(), cert.str()});
  return grpc::SslServerCredentials(options);
}

// What a server understood of one stream.
struct Landed {
  std::string authorization;
  std::string table_header;
  std::string user_agent;
  pb::CreateIngestStreamRequest create;
  std::vector<std::string> rows;
  std::vector<int64_t> offsets;
};

inline std::string header(const grpc::ServerContext& context, const std::string& name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

inline Script collect(Landed& landed) {
  return [&landed](grpc::ServerContext& context, ServerStream& stream) {
    landed.authorization = header(context, "authorization");
    landed.table_header = header(context, "x-databricks-zerobus-table-name");
    landed.user_agent = header(context, "user-agent");
    pb::EphemeralStreamRequest request;
    while (stream.Read(&request)) {
      if (request.has_create_stream()) {
        landed.create = request.create_stream();
        pb::EphemeralStreamResponse response;
        response.mutable_create_stream_response()->set_stream_id("stream-1");
        stream.Write(response);
        continue;
      }
      const auto& batch = request.ingest_record_batch();
      const auto& rows = batch.has_json_batch() ? batch.json_batch().records()
                                                : batch.proto_encoded_batch().records();
      landed.rows.insert(landed.rows.end(), rows.begin(), rows.end());
      landed.offsets.push_back(batch.offset_id());
      send_ack(stream, batch.offset_id());
    }
    return grpc::Status::OK;
  };
}

}  // namespace penstock::zerobus
