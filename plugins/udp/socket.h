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

class Socket {
 public:
  // nullptr: `error` says what failed, where and what to do. Asks the kernel for kernel receive
  // timestamps and drop counts with each datagram, and for `receive_buffer_bytes`, by privilege if
  // there is any.
  static std::unique_ptr<Socket> open(const Endpoint& listen, uint64_t receive_buffer_bytes,
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
  // One datagram, without waiting. False: the kernel did not take it.
  bool send(const sockaddr_storage& to, const std::string& bytes) const;
  // Takes and clears the error that made the socket readable; 0: none.
  int take_error() const;

 private:
  explicit Socket(int fd) : fd_(fd) {}
  int fd_;
};

// What to tell a person when the kernel granted less than was asked for; empty when it did not.
std::string receive_buffer_advice(uint64_t asked_bytes, uint64_t granted_bytes);

}  // namespace penstock::udp
