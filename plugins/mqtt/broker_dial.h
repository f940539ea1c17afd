// Brings a BrokerStream up: looks the name up, tries its addresses one after the other, makes the
// handshake. One time limit for all of it. Gate's thread only; the handler runs exactly once there,
// unless cancel() came first.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "plugins/mqtt/broker_stream.h"
#include "plugins/mqtt/resolver.h"
#include "plugins/mqtt/settings.h"

namespace penstock::mqtt {

struct DialError {
  bool tls = false;  // the server was reached, the handshake failed
  std::string text;
};

class BrokerDial : public std::enable_shared_from_this<BrokerDial> {
 public:
  using Handler = std::function<void(std::optional<DialError>)>;

  // `stream` must live until the handler ran or cancel() was called.
  BrokerDial(boost::asio::io_context& io, BrokerStream& stream, BrokerAddress address,
             Handler handler);
  void start(std::chrono::milliseconds limit);
  void cancel();

 private:
  void poll_lookup();
  void try_next();
  void shake_hands();
  void finish(std::optional<DialError> error);

  boost::asio::steady_timer limit_timer_;
  boost::asio::steady_timer lookup_timer_;
  BrokerStream* stream_;
  BrokerAddress address_;
  Handler handler_;
  std::optional<Lookup> lookup_;
  std::vector<Endpoint> endpoints_;
  size_t next_ = 0;
  bool reached_ = false;
  std::string last_error_;
};

}  // namespace penstock::mqtt
