// HttpsServer: answers every HTTP request on a loopback port with what the test's handler says, one
// connection at a time, in clear or over TLS.
//
// The handler runs on the server's thread; the destructor ends the thread. Throws when it cannot
// listen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/support/mqtt_certificates.h"

namespace penstock::test {

struct WebRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct WebAnswer {
  int status = 200;
  std::string body;
  std::map<std::string, std::string> headers;
};

class HttpsServer {
 public:
  using Handler = std::function<WebAnswer(const WebRequest&)>;

  // `tls` null: http.
  explicit HttpsServer(Handler handler, const TestAuthority* tls = nullptr);
  ~HttpsServer();

  uint16_t port() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::test
