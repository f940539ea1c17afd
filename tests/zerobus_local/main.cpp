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

void add_options(CLI::App& app, ServerOptions& options, int& ack_interval_ms) {
  app.add_option("--tables", options.tables_file, "YAML file with the tables to offer")
      ->required()
      ->type_name("FILE");
  app.add_option("--data", options.data_dir, "Directory for what is received")
      ->required()
      ->type_name("DIR");
  app.add_option("--listen", options.listen, "gRPC address; port 0 picks a free one")
      ->capture_default_str();
  app.add_option("--admin", options.admin, "Admin address (HTTP)")->capture_default_str();
  app.add_option("--store", options.store, "sqlite: rows in DIR/lakehouse.db; bitmap: raw files")
      ->capture_default_str()
      ->check(CLI::IsMember({"sqlite", "bitmap"}));
  app.add_option("--token", options.token, "The only bearer token accepted (default: any)");
  app.add_option("--tls-cert", options.tls_cert, "Certificate chain (PEM): gRPC with TLS")
      ->type_name("FILE");
  app.add_option("--tls-key", options.tls_key, "Its private key (PEM)")->type_name("FILE");
  app.add_option("--ack-interval-ms", ack_interval_ms, "Acknowledge at the latest after")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  app.add_option("--ack-every", options.ack_every, "Or after this many requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_flag("--allow-remote", options.allow_remote, "Accept addresses other than loopback");
}

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
  int ack_interval_ms = 5;
  add_options(app, options, ack_interval_ms);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  options.ack_interval = penstock::Millis(ack_interval_ms);
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
