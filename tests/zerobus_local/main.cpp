// penstock-zerobus-local: the local Zerobus server as a program.
//
// Standard output carries one line, when both ports accept calls; the log goes to standard error.
// Exit codes: 0 stopped by SIGTERM or SIGINT, 1 cannot run, 2 the command line or the tables file
// is wrong.
#include <cstdio>

#include <CLI/CLI.hpp>
#include <signal.h>

#include "tests/zerobus_local/server.h"

namespace {

using penstock::local::Server;
using penstock::local::ServerOptions;

using penstock::Millis;

void add_millis(CLI::App& app, const std::string& name, Millis& value, const std::string& what,
                const char* group) {
  app.add_option_function<int64_t>(
         name, [&value](int64_t ms) { value = Millis(ms); }, what)
      ->default_str(std::to_string(value.count()))
      ->type_name("MS")
      ->check(CLI::Range(0, 86'400'000))
      ->group(group);
}

void add_storage(CLI::App& app, ServerOptions& options) {
  app.add_option("--tables", options.tables_file, "YAML file with the tables to offer")
      ->required()
      ->type_name("FILE");
  app.add_option("--data", options.data_dir, "Directory for what is received")
      ->required()
      ->type_name("DIR");
  app.add_option("--store", options.store, "sqlite: rows in DIR/lakehouse.db; bitmap: raw files")
      ->capture_default_str()
      ->check(CLI::IsMember({"sqlite", "bitmap"}));
}

void add_access(CLI::App& app, ServerOptions& options) {
  constexpr const char* kGroup = "Access";
  app.add_option("--listen", options.listen, "gRPC address; port 0 picks a free one")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--admin", options.admin, "Admin address (HTTP), also the workspace URL")
      ->capture_default_str()
      ->group(kGroup);
  app.add_flag("--allow-remote", options.allow_remote, "Accept addresses other than loopback")
      ->group(kGroup);
  app.add_option("--tls-cert", options.tls_cert, "Certificate chain (PEM): gRPC with TLS")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--tls-key", options.tls_key, "Its private key (PEM)")
      ->type_name("FILE")
      ->group(kGroup);
  app.add_option("--token", options.token, "The only bearer token accepted (default: any)")
      ->group(kGroup);
  app.add_option("--client", options.client,
                 "Only tokens given out to this client on exactly the documented request")
      ->type_name("ID:SECRET")
      ->group(kGroup);
  add_millis(app, "--token-ms", options.token_lifetime, "Lifetime of a token", kGroup);
}

void add_behaviour(CLI::App& app, ServerOptions& options) {
  constexpr const char* kGroup = "Behaviour";
  add_millis(app, "--ack-interval-ms", options.ack_interval, "Acknowledge at the latest after",
             kGroup);
  app.add_option("--ack-every", options.ack_every, "Or after this many requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000))
      ->group(kGroup);
  add_millis(app, "--rotate-ms", options.rotate_every,
             "Send a stream the close signal at this age; 0: never", kGroup);
  add_millis(app, "--rotate-grace-ms", options.rotate_grace, "And end it this long after", kGroup);
  add_millis(app, "--shutdown-grace-ms", options.shutdown_grace,
             "When stopped: close signal, and this long to leave", kGroup);
  app.add_option("--max-streams", options.max_streams,
                 "Streams a connection may have (SETTINGS_MAX_CONCURRENT_STREAMS); 0: no limit")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000))
      ->group(kGroup);
  add_millis(app, "--connection-age-ms", options.connection_age,
             "GOAWAY to a connection at about this age; 0: never", kGroup);
  add_millis(app, "--connection-grace-ms", options.connection_grace, "And cut it this long after",
             kGroup);
  app.add_option("--max-header-bytes", options.max_header_bytes,
                 "Headers of a call, the token among them; more is refused")
      ->capture_default_str()
      ->check(CLI::Range(1024, 16 << 20))
      ->group(kGroup);
  app.add_option("--stream-window-bytes", options.stream_window_bytes,
                 "What a stream may send ahead of what is read (flow control)")
      ->capture_default_str()
      ->check(CLI::Range(4096, 64 << 20))
      ->group(kGroup);
}

constexpr const char* kFooter =
    R"(Orders while it runs, by HTTP on the admin port (GET / lists their arguments):
  GET  /state                  open streams, rows per table, faults
  POST /faults/drop            end streams, at once or after N records
  POST /faults/reject          refuse records, by text or by count
  POST /faults/refuse-create   refuse streams
  POST /faults/no-acks         store, but do not acknowledge
  POST /faults/slow-acks       acknowledge late
  POST /faults/freeze          accept, and never answer
  POST /faults/no-read         do not read: flow control stops the client
  POST /faults/close-signal    close signal now
  POST /faults/rotate          close signal, or a hard end, by age
  POST /faults/say             send bytes of your own to streams
  POST /faults/expire-tokens   tokens given out so far are over
  POST /faults/workspace       the token or table call fails
  POST /faults/clear           no faults
  POST /tables/alter           add or drop a column
  POST /tables/drop            drop a table
A client's workspace URL is http://ADMIN, its endpoint http://GRPC.)";

}  // namespace

int main(int argc, char** argv) {
  // Before any thread starts, so that all of them inherit the mask and sigwait() gets the signal.
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);

  CLI::App app(
      "Local Zerobus server: accepts streams, validates rows, stores them, breaks on order");
  ServerOptions options;
  add_storage(app, options);
  add_access(app, options);
  add_behaviour(app, options);
  app.footer(kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  const auto log = penstock::Log::to_stderr(penstock::LogLevel::kInfo);
  auto server = Server::start(options, log);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().what.c_str());
    return server.error().kind == penstock::ErrorKind::kRejected ? 2 : 1;
  }
  std::printf("ready grpc=%s admin=%s data=%s\n", (*server)->grpc_address().c_str(),
              (*server)->admin_address().c_str(), options.data_dir.c_str());
  std::fflush(stdout);
  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  log.info("stopping");
  (*server)->stop();
  return 0;
}
