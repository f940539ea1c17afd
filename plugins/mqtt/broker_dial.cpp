#include "plugins/mqtt/broker_dial.h"

#include <cstring>
#include <utility>

namespace penstock::mqtt {
namespace {

using boost::asio::ip::tcp;
using Code = boost::system::error_code;

constexpr std::chrono::milliseconds kLookupPoll{5};

tcp::endpoint to_asio(const Endpoint& endpoint) {
  tcp::endpoint converted;
  converted.resize(endpoint.size);
  std::memcpy(converted.data(), &endpoint.address, endpoint.size);
  return converted;
}

}  // namespace

BrokerDial::BrokerDial(boost::asio::io_context& io, BrokerStream& stream, BrokerAddress address,
                       Handler handler)
    : limit_timer_(io),
      lookup_timer_(io),
      stream_(&stream),
      address_(std::move(address)),
      handler_(std::move(handler)) {}

void BrokerDial::start(std::chrono::milliseconds limit) {
  limit_timer_.expires_after(limit);
  limit_timer_.async_wait([self = shared_from_this(), limit](Code code) {
    if (code) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit).count();
    self->finish(DialError{self->reached_, "no answer within " + std::to_string(seconds) + " s"});
  });
  lookup_.emplace(address_.host, address_.port);
  poll_lookup();
}

void BrokerDial::cancel() {
  handler_ = nullptr;
  stream_ = nullptr;
  limit_timer_.cancel();
  lookup_timer_.cancel();
}

void BrokerDial::poll_lookup() {
  if (!handler_) return;
  if (lookup_->done()) {
    endpoints_ = lookup_->endpoints();
    last_error_ = "cannot find the address of " + address_.host + ": " + lookup_->error();
    try_next();
    return;
  }
  lookup_timer_.expires_after(kLookupPoll);
  lookup_timer_.async_wait([self = shared_from_this()](Code) { self->poll_lookup(); });
}

void BrokerDial::try_next() {
  if (next_ == endpoints_.size()) {
    finish(DialError{false, last_error_});
    return;
  }
  const auto endpoint = to_asio(endpoints_[next_++]);
  Code ignored;
  stream_->socket().close(ignored);
  stream_->socket().async_connect(endpoint, [self = shared_from_this()](Code code) {
    if (!self->handler_) return;
    if (code) {
      self->last_error_ = code.message();
      self->try_next();
      return;
    }
    self->shake_hands();
  });
}

void BrokerDial::shake_hands() {
  reached_ = true;
  Code ignored;
  stream_->socket().set_option(tcp::no_delay(true), ignored);
  stream_->socket().set_option(boost::asio::socket_base::keep_alive(true), ignored);
  stream_->handshake([self = shared_from_this()](Code code) {
    if (!self->handler_) return;
    if (!code) {
      self->finish(std::nullopt);
    } else {
      self->finish(DialError{true, "TLS handshake failed: " + self->stream_->explain(code)});
    }
  });
}

void BrokerDial::finish(std::optional<DialError> error) {
  if (!handler_) return;
  const Handler handler = std::exchange(handler_, nullptr);
  limit_timer_.cancel();
  lookup_timer_.cancel();
  handler(std::move(error));
}

}  // namespace penstock::mqtt
