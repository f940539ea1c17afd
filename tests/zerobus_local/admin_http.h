// A small HTTP/1.1 server for the admin port: one thread, any number of connections, bodies up to 1
// MiB.
//
// The handler runs on that thread; it must not block for long and must not throw. Connections that
// say nothing for 30 s are closed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "tests/zerobus_local/http_reply.h"

namespace penstock::local {

class AdminHttp {
 public:
  using Handler = std::function<HttpReply(const HttpCall& call)>;

  // Listens at once. kDenied: the address is not usable, with the reason.
  static Result<std::unique_ptr<AdminHttp>> start(const std::string& host, int port,
                                                  Handler handler);
  ~AdminHttp();

  int port() const;
  void stop();  // the handler is not called any more

 private:
  struct Impl;
  explicit AdminHttp(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::local
