// The local Zerobus server as a whole: what main() runs and tests start in their own process.
//
// start() returns when both ports accept calls. Thread-safe. stop() (or the destructor) takes no
// new streams, stores and acknowledges what it has read, ends every stream with UNAVAILABLE and
// then closes the store; it blocks at most some 15 s.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/log.h"
#include "agent/base/result.h"

namespace penstock::local {

struct ServerOptions {
  std::string tables_file;  // YAML; README.md shows the form
  std::string data_dir;     // made when it does not exist; one server at a time
  std::string listen = "127.0.0.1:0";
  std::string admin = "127.0.0.1:0";
  std::string store = "sqlite";  // or "bitmap"
  std::string token;             // empty: any bearer
  std::string tls_cert;          // PEM files; both or none
  std::string tls_key;
  std::string client;  // "ID:SECRET": tokens are given out by an identity service, and end
  Millis token_lifetime{3'600'000};
  Millis ack_interval{5};
  int ack_every = 1000;    // requests
  Millis rotate_every{0};  // age at which streams get the close signal; 0: never
  Millis rotate_grace{10'000};
  Millis shutdown_grace{0};  // close signal and time to leave before streams end UNAVAILABLE
  // HTTP/2, per connection; 0: no limit.
  int max_streams = 0;
  Millis connection_age{0};  // GOAWAY after about this, and the end of the connection after `grace`
  Millis connection_grace{10'000};
  int max_header_bytes = 64 << 10;  // real tokens pass 4 KiB
  int stream_window_bytes = 4 << 20;
  bool allow_remote = false;
};

class Server {
 public:
  // kRejected: the tables file (one line per problem) or an option; kDenied: a port or the data
  // directory.
  static Result<std::unique_ptr<Server>> start(const ServerOptions& options, const Log& log);
  ~Server();

  int grpc_port() const;
  int admin_port() const;
  std::string grpc_address() const;   // host:port
  std::string admin_address() const;  // host:port

  // The admin port's answer to a call, without the network; the body only.
  std::string admin(std::string_view method, std::string_view target) const;

  void stop();  // idempotent

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock::local
