// A bound, non-blocking UDP socket, and what the kernel says about it.
//
// Owns the descriptor. Any thread; the caller keeps the socket alive while another thread asks it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "plugins/udp/address.h"

namespace penstock::udp {

// The address of this machine that a datagram was sent to. On a gateway with several, an answer
// from another one is not what its sender waits for.
struct LocalAddress {
  int family = 0;  // of the socket; 0: not known
  in_addr v4{};
  in6_pktinfo v6{};  // AF_INET6: also IPv4 addresses, as ::ffff:10.0.5.7

  // From what came with a datagram; unchanged if it is something else.
  void take(const cmsghdr& item);
};

class Socket {
 public:
  // nullptr: `error` says what failed, where and what to do. Asks the kernel for kernel receive
  // timestamps, drop counts and the local address with each datagram, and for
  // `receive_buffer_bytes`, by privilege if there is any.
  static std::unique_ptr<Socket> open(Endpoint listen, uint64_t receive_buffer_bytes,
                                      std::string& error);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  // Address and port really bound.
  std::string bound_to() const;
  // What the kernel granted, in the unit it was asked in.
  uint64_t receive_buffer_bytes() const;
  // Datagrams the kernel has dropped on this socket since it was opened (modulo 2^32), exact at the
  // moment of the call. nullopt before Linux 4.12: then only arriving datagrams tell.
  std::optional<uint32_t> drops() const;
  // Throws away what waits and says how many datagrams that was; gives up counting at 64 Ki.
  uint64_t discard_waiting() const;
  // One datagram, without waiting, from the address `from` if that is known. False: the kernel did
  // not take it.
  bool send(const sockaddr_storage& to, const LocalAddress& from, const std::string& bytes) const;
  // Takes and clears the error that made the socket readable; 0: none.
  int take_error() const;

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_;
};

// What to tell a person when the kernel granted less than was asked for; empty when it did not.
std::string receive_buffer_advice(uint64_t asked_bytes, uint64_t granted_bytes);

}  // namespace penstock::udp
