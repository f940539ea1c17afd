// HttpClient: POSTs forms, and GETs, over HTTPS. The only user of libcurl.
//
// One thread of its own carries all requests at once. post() from any thread; `done` is called once
// on that thread, must not block, and is not called any more once the destructor has begun (it ends
// what is under way and joins the thread; never destroy it from `done`). Redirects are not
// followed, so that credentials stay where they were sent. The environment's proxies are not looked
// at: the owner says which (proxy.h); http:// requests use none. Errors: kTransient when no whole
// answer came (connection, TLS, time), kDenied when none can come: a wrong address or CA file, or
// more than `max_body_bytes`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/result.h"
#include "agent/zerobus/oauth_request.h"
#include "agent/zerobus/proxy.h"

namespace penstock::zerobus {

struct HttpOptions {
  // PEM, instead of the system's store, read for each connection; empty: the system's.
  std::string ca_file;
  std::string user_agent;
  std::optional<Proxy> proxy;  // for https://
  Millis timeout{30'000};      // of one request, all in all
  size_t max_body_bytes = 1 << 20;
};

class HttpClient {
 public:
  using Done = std::function<void(Result<HttpReply>)>;

  static Result<std::unique_ptr<HttpClient>> start(HttpOptions options);
  ~HttpClient();

  // `timeout`: of this request, instead of the options'.
  void post(HttpRequest request, Done done, std::optional<Millis> timeout = {});

 private:
  class Worker;
  explicit HttpClient(std::unique_ptr<Worker> worker);
  std::unique_ptr<Worker> worker_;
};

}  // namespace penstock::zerobus
