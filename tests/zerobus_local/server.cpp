#include "tests/zerobus_local/server.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/zerobus_local/admin_http.h"
#include "tests/zerobus_local/admin_routes.h"
#include "tests/zerobus_local/service.h"
#include "tests/zerobus_local/tls.h"

namespace penstock::local {
namespace {

// Well above the service's 10 MiB, so that the refusal is the protocol's and not gRPC's.
constexpr int kMaxReceiveBytes = 64 << 20;
constexpr Millis kMaxCommitPace{5};  // commits do not wait for a long acknowledgement interval
constexpr auto kDrainTime = std::chrono::seconds(10);
constexpr auto kCancelTime = std::chrono::seconds(5);

Error refused(std::string what) { return {ErrorKind::kRejected, std::move(what), {}}; }
Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

struct Address {
  std::string host;
  int port = 0;
};

// "127.0.0.1:0", "[::1]:7000", "localhost:7000".
Result<Address> parse_address(const std::string& text, bool allow_remote) {
  const size_t colon = text.rfind(':');
  Address out;
  if (colon == std::string::npos) return refused("'" + text + "' must be HOST:PORT");
  out.host = text.substr(0, colon);
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data() + colon + 1, end, out.port);
  if (out.host.empty() || code != std::errc() || stop != end || out.port < 0 || out.port > 65535) {
    return refused("'" + text + "' must be HOST:PORT with a port from 0 to 65535");
  }
  const bool loopback =
      out.host == "localhost" || out.host == "::1" || out.host.compare(0, 4, "127.") == 0;
  if (!loopback && !allow_remote) {
    return refused("'" + text +
                   "' is not a loopback address: this server checks no rights; "
                   "use 127.0.0.1, or --allow-remote if the network is yours");
  }
  return out;
}

std::string joined(const std::string& host, int port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

// Holds DIR/LOCK for the life of the server.
class DirLock {
 public:
  static Result<DirLock> take(const std::string& dir) {
    std::error_code error;
    std::filesystem::create_directories(dir, error);
    if (error) return denied("cannot make the data directory " + dir + ": " + error.message());
    const std::string path = dir + "/LOCK";
    DirLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (lock.fd_ < 0) return denied("cannot open " + path + ": " + std::strerror(errno));
    if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
      return denied("another server uses the data directory " + dir);
    }
    return lock;
  }
  DirLock(DirLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirLock& operator=(DirLock&&) = delete;
  ~DirLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  explicit DirLock(int fd) : fd_(fd) {}
  int fd_;
};

Result<std::unique_ptr<Backend>> open_backend(const ServerOptions& options) {
  if (options.store == "sqlite") return open_sqlite_backend(options.data_dir);
  if (options.store == "bitmap") return open_bitmap_backend(options.data_dir);
  return refused("store '" + options.store + "' must be sqlite or bitmap");
}

TokenRules token_rules(const ServerOptions& options) {
  const size_t colon = options.client.find(':');
  TokenRules rules{options.token, {}, {}, options.token_lifetime};
  if (colon == std::string::npos) return rules;
  rules.client_id = options.client.substr(0, colon);
  rules.client_secret = options.client.substr(colon + 1);
  return rules;
}

Result<void> check(const ServerOptions& options) {
  if (options.ack_every < 1 || options.ack_interval < Millis(1)) {
    return refused("acknowledgement count and interval must be at least 1");
  }
  if (!options.token.empty() && !options.client.empty()) {
    return refused("--token and --client: give one of them");
  }
  const auto rules = token_rules(options);
  if (!options.client.empty() && (rules.client_id.empty() || rules.client_secret.empty())) {
    return refused("--client: '" + options.client + "' must be ID:SECRET");
  }
  return {};
}

// What is said to HTTP/2.
void set_limits(const ServerOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options.max_header_bytes);
  // Two servers on one port would share its clients between them without a word.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A fixed window instead of probing: with probing megabytes queue up and acknowledgements come
  // late.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, options.stream_window_bytes);
  if (options.max_streams > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams);
  }
  if (options.connection_age <= Millis(0)) return;
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             static_cast<int>(options.connection_age.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             static_cast<int>(options.connection_grace.count()));
}

}  // namespace

struct Server::Parts {
  Parts(DirLock dir_lock, std::shared_ptr<Catalog> tables, std::unique_ptr<Backend> backend,
        const ServerOptions& given, const Log& log)
      : options(given),
        lock(std::move(dir_lock)),
        catalog(std::move(tables)),
        faults({options.rotate_every, options.rotate_grace, false, "*"}),
        tokens(token_rules(options)),
        store(std::move(backend), std::min(options.ack_interval, kMaxCommitPace), catalog->all()),
        context{*catalog, store, timers, faults, registry, {}, log},
        service(context, tokens),
        admin_parts{faults, registry, store, *catalog, options.store, tokens, read_clock().mono} {
    context.acks.interval = options.ack_interval;
    context.acks.every = options.ack_every;
  }

  Result<void> listen(const Address& grpc_at, const Address& admin_at,
                      const std::shared_ptr<grpc::ServerCredentials>& credentials);

  const ServerOptions options;
  DirLock lock;
  std::shared_ptr<Catalog> catalog;
  Faults faults;
  Tokens tokens;
  Registry registry;
  Timers timers;
  GroupCommitter store;
  StreamContext context;
  Service service;
  AdminParts admin_parts;
  std::unique_ptr<AdminHttp> admin;
  std::unique_ptr<grpc::Server> server;
  std::string grpc_host;
  std::string admin_host;
  int grpc_port = 0;
  bool stopped = false;
};

Result<void> Server::Parts::listen(const Address& grpc_at, const Address& admin_at,
                                   const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  grpc_host = grpc_at.host;
  admin_host = admin_at.host;
  auto http = AdminHttp::start(admin_at.host, admin_at.port,
                               [this](const HttpCall& call) { return answer(admin_parts, call); });
  if (!http) return http.error();
  admin = std::move(*http);
  grpc::ServerBuilder builder;
  builder.AddListeningPort(joined(grpc_at.host, grpc_at.port), credentials, &grpc_port);
  builder.RegisterService(&service);
  set_limits(options, builder);
  server = builder.BuildAndStart();
  if (!server || grpc_port <= 0) {
    return denied(
        "cannot listen on " + joined(grpc_at.host, grpc_at.port) +
        " for gRPC: is the port in use, or do --tls-cert and --tls-key not belong together?");
  }
  return {};
}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, const Log& log) {
  // For the life of the process: shutting gRPC down and up again can block for seconds.
  static const int grpc_for_ever = (grpc_init(), 0);
  (void)grpc_for_ever;
  auto grpc_at = parse_address(options.listen, options.allow_remote);
  if (!grpc_at) return std::move(grpc_at).error().in("--listen");
  auto admin_at = parse_address(options.admin, options.allow_remote);
  if (!admin_at) return std::move(admin_at).error().in("--admin");
  if (auto fine = check(options); !fine) return std::move(fine).error();
  auto credentials = server_credentials(options.tls_cert, options.tls_key);
  if (!credentials) return std::move(credentials).error();
  auto catalog = load_tables(options.tables_file);
  if (!catalog) return catalog.error();
  auto lock = DirLock::take(options.data_dir);
  if (!lock) return lock.error();
  auto backend = open_backend(options);
  if (!backend) return backend.error();
  std::unique_ptr<Server> server(new Server(std::make_unique<Parts>(
      std::move(*lock), std::move(*catalog), std::move(*backend), options, log)));
  if (auto listening = server->parts_->listen(*grpc_at, *admin_at, *credentials); !listening) {
    return listening.error();
  }
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { stop(); }

int Server::grpc_port() const { return parts_->grpc_port; }
int Server::admin_port() const { return parts_->admin->port(); }
std::string Server::grpc_address() const { return joined(parts_->grpc_host, grpc_port()); }
std::string Server::admin_address() const { return joined(parts_->admin_host, admin_port()); }

std::string Server::admin(std::string_view method, std::string_view target) const {
  return answer(parts_->admin_parts, {method, target, {}, {}, {}}).body;
}

void Server::stop() {
  if (std::exchange(parts_->stopped, true)) return;
  if (parts_->admin) parts_->admin->stop();
  parts_->faults.clear();  // an ordered delay must not hold the end
  parts_->registry.close();
  if (const Millis grace = parts_->options.shutdown_grace; grace > Millis(0)) {
    for (const auto& stream : parts_->registry.streams()) stream->signal_close(grace);
    (void)parts_->registry.wait_until_empty(read_clock().mono + grace);
  }
  for (const auto& stream : parts_->registry.streams()) {
    stream->drain({grpc::StatusCode::UNAVAILABLE, "the server is shutting down"});
  }
  (void)parts_->registry.wait_until_empty(read_clock().mono + kDrainTime);
  if (parts_->server) {  // whatever does not end is cancelled
    parts_->server->Shutdown(std::chrono::system_clock::now());
    (void)parts_->registry.wait_until_empty(read_clock().mono + kCancelTime);
    parts_->server->Wait();
  }
  parts_->store.stop();
  parts_->timers.stop();
}

}  // namespace penstock::local
