// Host name lookup that can be abandoned. An outage often takes the name server along, and a lookup
// then lasts for tens of seconds; an agent that is told to stop cannot wait for it. So the lookup
// runs in glibc's own helper thread (getaddrinfo_a) and is polled: dropping the object never
// blocks. A lookup that is dropped while it runs cannot be stopped, and its thread still writes
// into its request; that is kept aside and freed, with the late answer, when a later lookup finds
// it done. One owner, one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <netinet/in.h>

namespace penstock::mqtt {

struct Endpoint {
  sockaddr_storage address{};
  socklen_t size = 0;
};

class Lookup {
 public:
  // Starts. Literal addresses are answered at once.
  Lookup(const std::string& host, uint16_t port);
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;
  ~Lookup();

  bool done();
  // Once done: the addresses in the order to try, or none and the reason in error().
  std::vector<Endpoint> endpoints() const;
  const std::string& error() const { return error_; }

  // Dropped lookups of this process that still run. Any thread; for tests.
  static size_t abandoned();

 private:
  struct Request;
  static void abandon(std::unique_ptr<Request> request);
  std::unique_ptr<Request> request_;
  bool done_ = false;
  std::string error_;
};

}  // namespace penstock::mqtt
