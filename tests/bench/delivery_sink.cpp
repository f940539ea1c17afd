#include "tests/bench/delivery_sink.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/base/varint.h"
#include "tests/bench/bench_main.h"

namespace penstock::bench {
namespace {

constexpr Millis kComesUp{30'000};

std::string content(const std::string& file) {
  std::ifstream in(file);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

grpc::ByteBuffer message(std::string_view bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return {&slice, 1};
}

grpc::ByteBuffer ack_message(int64_t offset) {
  std::string inner("\x08");
  append_varint(static_cast<uint64_t>(offset), inner);
  std::string out("\x12");
  append_bytes(inner, out);
  return message(out);
}

// What comes back from the completion queue, once.
class Operation {
 public:
  virtual void done(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Operation() = default;
};

// One stream, on the thread of the completion queue: reads as fast as it can; one acknowledgement
// on its way at a time, always the newest. Not the callback API, whose two threads take turns and
// leave the client less of two cores.
class SinkStream {
 public:
  // Waits for a client; the next one's stream is made when it has come.
  SinkStream(grpc::AsyncGenericService& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    ++operations_;
    service_.RequestCall(&context_, &stream_, &queue_, &queue_, begun_.tag());
  }

 private:
  class Step final : public Operation {
   public:
    Step(SinkStream& stream, void (SinkStream::*next)(bool)) : stream_(stream), next_(next) {}
    void done(bool ok) override {
      (stream_.*next_)(ok);
      if (--stream_.operations_ == 0) delete &stream_;
    }

   private:
    SinkStream& stream_;
    void (SinkStream::*const next_)(bool);
  };

  void on_begun(bool ok) {
    if (!ok) return;
    new SinkStream(service_, queue_);
    const auto& headers = context_.client_metadata();
    const auto table = headers.find("x-databricks-zerobus-table-name");
    if (table != headers.end()) table_.assign(table->second.data(), table->second.size());
    ++operations_;
    stream_.SendInitialMetadata(headers_sent_.tag());  // the official client waits for them
    read();
  }
  void on_read(bool ok) {
    ended_ = ended_ || !ok;
    if (ok && !std::exchange(created_, true)) {
      if (is("refused")) return finish({grpc::StatusCode::NOT_FOUND, "no such table"});
      if (!is("frozen")) write(message(std::string_view("\x0A\x04\x0A\x02s1", 6)));
    } else if (ok && !is("mute")) {
      newest_ = offset_of(incoming_);
    }
    incoming_.Clear();
    pump();
    if (ok) read();
  }
  void on_written(bool ok) {
    writing_ = false;
    ended_ = ended_ || !ok;
    pump();
  }
  void on_nothing_to_do(bool) {}

  bool is(const char* kind) const { return table_.find(kind) != std::string::npos; }
  // {2 or 3: {1: offset, ...}}; a protobuf writer puts field 1 first.
  static int64_t offset_of(const grpc::ByteBuffer& buffer) {
    std::vector<grpc::Slice> slices;
    if (!buffer.Dump(&slices).ok() || slices.empty()) return -1;
    std::string_view head(reinterpret_cast<const char*>(slices[0].begin()), slices[0].size());
    head.remove_prefix(1);
    if (!take_varint(head) || head.empty()) return -1;
    head.remove_prefix(1);
    return static_cast<int64_t>(take_varint(head).value_or(0));
  }
  void read() {
    ++operations_;
    stream_.Read(&incoming_, read_.tag());
  }
  void write(const grpc::ByteBuffer& bytes) {
    writing_ = true;
    ++operations_;
    stream_.Write(bytes, written_.tag());
  }
  void pump() {
    if (writing_ || finished_) return;
    if (newest_ > told_) {
      told_ = newest_;
      write(ack_message(told_));
    } else if (ended_) {
      finish(grpc::Status::OK);
    }
  }
  void finish(const grpc::Status& status) {
    if (std::exchange(finished_, true)) return;
    ++operations_;
    stream_.Finish(status, closed_.tag());
  }

  grpc::AsyncGenericService& service_;
  grpc::ServerCompletionQueue& queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  std::string table_;
  grpc::ByteBuffer incoming_;
  int operations_ = 0;  // under way; the last one's return ends it all
  bool created_ = false;
  bool writing_ = false;
  bool ended_ = false;
  bool finished_ = false;
  int64_t newest_ = -1;
  int64_t told_ = -1;
  Step begun_{*this, &SinkStream::on_begun};
  Step read_{*this, &SinkStream::on_read};
  Step written_{*this, &SinkStream::on_written};
  Step headers_sent_{*this, &SinkStream::on_nothing_to_do};
  Step closed_{*this, &SinkStream::on_nothing_to_do};
};

std::shared_ptr<grpc::ServerCredentials> credentials(int argc, char** argv) {
  if (argc < 2) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({content(argv[1]), content(argv[0])});
  return grpc::SslServerCredentials(options);
}

uint16_t announced_port(test::Process& process) {
  const auto line = process.wait_for_line("ready ", kComesUp);
  if (!line) throw std::runtime_error("the far end did not come up:\n" + process.output());
  return static_cast<uint16_t>(std::stoul(line->substr(line->find("ready ") + 6)));
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

std::unique_ptr<test::Process> start_child(const std::vector<std::string>& arguments,
                                           const std::filesystem::path& output) {
  test::ProcessSpec spec;
  spec.argv = {std::filesystem::read_symlink("/proc/self/exe").string(), "--child"};
  spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
  spec.output = output;
  return std::make_unique<test::Process>(spec);
}

Sink::Sink(const std::filesystem::path& dir, const test::TestAuthority* tls) : tls_(tls) {
  std::vector<std::string> arguments{"sink"};
  if (tls) arguments.insert(arguments.end(), {tls->cert.string(), tls->key.string()});
  process_ = start_child(arguments, dir / "sink.log");
  port_ = announced_port(*process_);
}

double Sink::cpu_s() const {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process_->pid(), &clock) != 0) return 0;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

int child_sink(int argc, char** argv) {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials(argc, argv), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 << 20);
  builder.SetMaxReceiveMessageSize(16 << 20);
  builder.RegisterAsyncGenericService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("ready %d\n", port);
  std::fflush(stdout);
  new SinkStream(service, *queue);
  void* step = nullptr;
  for (bool ok = false; queue->Next(&step, &ok);) static_cast<Operation*>(step)->done(ok);
  return 0;  // not before it is killed
}

int child_receiver() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0) return 1;
  if (listen(listener, 1) != 0) return 1;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("ready %d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  const int peer = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  std::string buffer(256 << 10, '\0');
  while (recv(peer, buffer.data(), buffer.size(), 0) > 0) {
  }
  send(peer, "x", 1, MSG_NOSIGNAL);
  return 0;
}

double raw_tcp_bytes_per_s(const std::filesystem::path& dir, double seconds) {
  const auto receiver = start_child({"receiver"}, dir / "receiver.log");
  const auto address = loopback(announced_port(*receiver));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("the TCP receiver cannot be reached");
  constexpr size_t kSend = 1 << 20;
  std::string data(64 * kSend, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761u >> 13);
  const MonoTime start = read_clock().mono;
  uint64_t sent = 0;
  while (seconds_since(start) < seconds) {
    const ssize_t done = send(fd, &data[sent % data.size() / kSend * kSend], kSend, MSG_NOSIGNAL);
    if (done <= 0) break;
    sent += static_cast<uint64_t>(done);
  }
  shutdown(fd, SHUT_WR);
  char last = 0;
  (void)!recv(fd, &last, 1, 0);  // the receiver has it all
  const double elapsed = seconds_since(start);
  close(fd);
  receiver->wait(Millis(5'000));
  return static_cast<double>(sent) / elapsed;
}

}  // namespace penstock::bench
