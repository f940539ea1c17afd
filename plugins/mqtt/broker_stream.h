// The broker's end of the gate: a byte stream over plain TCP or TLS, with one set of operations.
//
// Belongs to one gate session, used on the gate's thread only. At most one read and one write at a
// time; their buffers stay valid until the handler ran. Closing the socket ends all operations with
// an error. Handlers keep what they need alive themselves.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "plugins/mqtt/settings.h"

namespace penstock::mqtt {

class BrokerStream {
 public:
  using Code = boost::system::error_code;
  using Done = std::function<void(Code)>;
  using ReadDone = std::function<void(Code, size_t)>;

  virtual ~BrokerStream() = default;
  virtual boost::asio::ip::tcp::socket& socket() = 0;
  virtual void handshake(Done done) = 0;  // plain TCP: done at once
  virtual void read_some(boost::asio::mutable_buffer buffer, ReadDone done) = 0;
  virtual void write(boost::asio::const_buffer buffer, Done done) = 0;
  // Why the handshake failed, in words.
  virtual std::string explain(Code code) const = 0;
};

std::unique_ptr<BrokerStream> make_plain_stream(boost::asio::io_context& io);

// Reads the files. Throws std::runtime_error naming the file that cannot be used.
std::unique_ptr<BrokerStream> make_tls_stream(boost::asio::io_context& io, const TlsFiles& files);

}  // namespace penstock::mqtt
