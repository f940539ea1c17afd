// For tests: a server with its own directory, a blocking client stream, a reader of lakehouse.db.
//
// Header only; one thread. Every wait ends after 60 s with a failed test instead of a hang.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "zerobus.grpc.pb.h"
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "tests/support/wait.h"
#include "tests/zerobus_local/server.h"

namespace penstock::local::testing {

namespace zb = databricks::zerobus;

constexpr auto kPatience = std::chrono::seconds(60);

inline constexpr const char* kTables = R"(
tables:
  - name: main.iot.telemetry
    columns:
      - {name: ts, type: TIMESTAMP, nullable: false}
      - {name: value, type: DOUBLE}
      - {name: note, type: STRING}
  - name: main.iot.other
    columns: [{name: id, type: BIGINT, nullable: false}]
  - pattern: main.iot.line_*
    columns: [{name: id, type: BIGINT, nullable: false}]
)";

inline constexpr const char* kTable = "main.iot.telemetry";

// ThreadSanitizer reports, and then suppresses, an uninstrumented gRPC once per few kilobytes of
// payload: minutes each.
#if defined(__SANITIZE_THREAD__)
constexpr bool kUnderThreadSanitizer = true;
#else
constexpr bool kUnderThreadSanitizer = false;
#endif

// True as soon as `condition` holds; false after kPatience.
template <class Condition>
bool eventually(Condition condition) {
  return test::wait_until(condition, kPatience, test::Millis(2));
}

class TempDir {
 public:
  TempDir() {
    std::string name = std::filesystem::temp_directory_path() / "zerobus_local.XXXXXX";
    path_ = mkdtemp(name.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name) << text;
    return path_ + "/" + name;
  }

 private:
  std::string path_;
};

// The committed rows, seen through a connection of its own, as any other program would see them.
class Lakehouse {
 public:
  explicit Lakehouse(const std::string& dir) {
    EXPECT_EQ(
        sqlite3_open_v2((dir + "/lakehouse.db").c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr),
        SQLITE_OK);
    sqlite3_busy_timeout(db_, 10'000);
  }
  Lakehouse(const Lakehouse&) = delete;
  Lakehouse& operator=(const Lakehouse&) = delete;
  ~Lakehouse() { sqlite3_close(db_); }

  void execute(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
  }
  // Rows of a query, cells as text joined by '|', NULL as "NULL".
  std::vector<std::string> query(const std::string& sql) {
    std::vector<std::string> rows;
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(db_);
    while (statement != nullptr && sqlite3_step(statement) == SQLITE_ROW) {
      std::string row;
      for (int i = 0; i < sqlite3_column_count(statement); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, i));
        row += (i > 0 ? "|" : "") + std::string(text == nullptr ? "NULL" : text);
      }
      rows.push_back(std::move(row));
    }
    sqlite3_finalize(statement);
    return rows;
  }
  int64_t count(const std::string& table) {
    const auto rows = query("SELECT count(*) FROM \"" + table + "\"");
    return rows.empty() ? -1 : std::stoll(rows[0]);
  }

 private:
  sqlite3* db_ = nullptr;
};

// One EphemeralStream call.
class ClientStream {
 public:
  struct Headers {
    std::string authorization = "Bearer some-token";
    std::string table = kTable;
  };
  ClientStream(const std::shared_ptr<grpc::Channel>& channel, const Headers& headers)
      : stub_(zb::Zerobus::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + kPatience);
    if (!headers.authorization.empty())
      context_.AddMetadata("authorization", headers.authorization);
    if (!headers.table.empty())
      context_.AddMetadata("x-databricks-zerobus-table-name", headers.table);
    stream_ = stub_->EphemeralStream(&context_);
  }
  ~ClientStream() {
    if (finished_) return;
    context_.TryCancel();
    (void)finish();
  }

  grpc::ClientContext& context() { return context_; }
  void wait_for_headers() { stream_->WaitForInitialMetadata(); }
  bool send(const zb::EphemeralStreamRequest& request) { return stream_->Write(request); }
  bool read(zb::EphemeralStreamResponse& response) { return stream_->Read(&response); }
  void half_close() { stream_->WritesDone(); }
  // Reads what is left; acknowledgements count.
  grpc::Status finish() {
    zb::EphemeralStreamResponse response;
    while (stream_->Read(&response)) note(response);
    finished_ = true;
    return stream_->Finish();
  }

  // Opens and returns the stream id; empty when the stream ended instead.
  std::string create(const zb::CreateIngestStreamRequest& create) {
    zb::EphemeralStreamRequest request;
    *request.mutable_create_stream() = create;
    zb::EphemeralStreamResponse response;
    if (!send(request) || !read(response)) return {};
    EXPECT_TRUE(response.has_create_stream_response());
    return response.create_stream_response().stream_id();
  }
  std::string create_json(const std::string& table = kTable) {
    zb::CreateIngestStreamRequest create_request;
    create_request.set_table_name(table);
    create_request.set_record_type(zb::JSON);
    return create(create_request);
  }
  std::string create_proto(const google::protobuf::DescriptorProto& row,
                           const std::string& table = kTable) {
    zb::CreateIngestStreamRequest create_request;
    create_request.set_table_name(table);
    create_request.set_descriptor_proto(row.SerializeAsString());
    return create(create_request);
  }

  bool send_json(int64_t offset, const std::string& record) {
    zb::EphemeralStreamRequest request;
    request.mutable_ingest_record()->set_offset_id(offset);
    request.mutable_ingest_record()->set_json_record(record);
    return send(request);
  }
  bool send_json_batch(int64_t offset, const std::vector<std::string>& records) {
    zb::EphemeralStreamRequest request;
    auto& batch = *request.mutable_ingest_record_batch();
    batch.set_offset_id(offset);
    for (const auto& record : records) batch.mutable_json_batch()->add_records(record);
    return send(request);
  }
  bool send_proto(int64_t offset, const std::string& record) {
    zb::EphemeralStreamRequest request;
    request.mutable_ingest_record()->set_offset_id(offset);
    request.mutable_ingest_record()->set_proto_encoded_record(record);
    return send(request);
  }

  // Reads until an acknowledgement covers `offset`; false when the stream ended first.
  bool wait_for_ack(int64_t offset) {
    zb::EphemeralStreamResponse response;
    while (acked_ < offset) {
      if (!read(response)) return false;
      note(response);
    }
    return true;
  }
  int64_t acked() const { return acked_; }
  int acks() const { return acks_; }

 private:
  // Acknowledgements must carry their field and rise.
  void note(const zb::EphemeralStreamResponse& response) {
    if (!response.has_ingest_record_response()) return;
    const auto& ack = response.ingest_record_response();
    EXPECT_TRUE(ack.has_durability_ack_up_to_offset());
    EXPECT_GT(ack.durability_ack_up_to_offset(), acked_);
    acked_ = ack.durability_ack_up_to_offset();
    ++acks_;
  }

  std::unique_ptr<zb::Zerobus::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<zb::EphemeralStreamRequest, zb::EphemeralStreamResponse>>
      stream_;
  int64_t acked_ = -1;
  int acks_ = 0;
  bool finished_ = false;
};

class ServerTest : public ::testing::Test {
 protected:
  ServerOptions options() const {
    ServerOptions out;
    out.tables_file = dir_.path() + "/tables.yaml";
    out.data_dir = data();
    return out;
  }
  std::string data() const { return dir_.path() + "/data"; }
  void SetUp() override { dir_.write("tables.yaml", kTables); }

  void start() { start(options()); }
  void start(const ServerOptions& with) {
    auto started = Server::start(with, Log::none());
    ASSERT_TRUE(started) << started.error().what;
    server_ = std::move(*started);
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);  // ports come back: no stale connections
    channel_ = grpc::CreateCustomChannel(server_->grpc_address(),
                                         grpc::InsecureChannelCredentials(), arguments);
  }
  std::unique_ptr<ClientStream> open() { return open(ClientStream::Headers{}); }
  std::unique_ptr<ClientStream> open(const ClientStream::Headers& headers) {
    return std::make_unique<ClientStream>(channel_, headers);
  }
  std::unique_ptr<ClientStream> open_json(const std::string& table = kTable) {
    auto stream = open({"Bearer t", table});
    EXPECT_FALSE(stream->create_json(table).empty());
    return stream;
  }
  std::string post(const std::string& target) { return server_->admin("POST", target); }
  std::string state() { return server_->admin("GET", "/state"); }

  TempDir dir_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

inline std::string row_json(int64_t n) {
  return "{\"ts\":" + std::to_string(1'700'000'000'000'000 + n) +
         ",\"value\":" + std::to_string(n) + ".5,\"note\":\"n" + std::to_string(n) + "\"}";
}

}  // namespace penstock::local::testing
