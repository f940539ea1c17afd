// ConnectProxy: an HTTP proxy on a loopback port that tunnels (CONNECT) whatever host is asked for
// to the same port of this machine, and remembers what it was asked.
//
// Threads of its own, two per tunnel; the destructor cuts what is open and joins them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace penstock::test {

class ConnectProxy {
 public:
  // `credentials` "user:password": whoever does not bring them is answered 407. `refuse`: a status
  // to answer everything with; 0: none.
  explicit ConnectProxy(std::string credentials = {}, int refuse = 0);
  ~ConnectProxy();

  uint16_t port() const;
  // "host:port" of every CONNECT so far, in order.
  std::vector<std::string> asked() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::test
