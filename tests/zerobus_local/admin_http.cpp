#include "tests/zerobus_local/admin_http.h"

#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace penstock::local {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr auto kSilence = std::chrono::seconds(30);
constexpr uint64_t kMaxBodyBytes = 1 << 20;

// One connection; kept alive by its pending operation.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, const AdminHttp::Handler& handler)
      : stream_(std::move(socket)), handler_(handler) {}

  void read() {
    parser_.emplace();
    parser_->body_limit(kMaxBodyBytes);
    stream_.expires_after(kSilence);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code error, size_t) {
                       if (!error) self->reply();
                     });
  }

 private:
  void reply() {
    const auto& request = parser_->get();
    const auto view = [](auto text) { return std::string_view(text.data(), text.size()); };
    auto answer = handler_({view(request.method_string()), view(request.target()),
                            view(request[http::field::authorization]),
                            view(request[http::field::content_type]), request.body()});
    if (answer.never) return hold();
    response_ = {};
    response_.version(request.version());
    response_.result(static_cast<unsigned>(answer.status));
    response_.set(http::field::content_type, "application/json");
    if (answer.retry_after_s) {
      response_.set(http::field::retry_after, std::to_string(*answer.retry_after_s));
    }
    response_.keep_alive(request.keep_alive());
    response_.body() = std::move(answer.body) + "\n";
    response_.prepare_payload();
    stream_.expires_after(kSilence);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](beast::error_code error, size_t) {
                        if (!error && self->response_.keep_alive()) self->read();
                      });
  }

  // Until the client goes.
  void hold() {
    stream_.expires_never();
    stream_.async_read_some(asio::buffer(&ignored_, 1),
                            [self = shared_from_this()](beast::error_code error, size_t) {
                              if (!error) self->hold();
                            });
  }

  beast::tcp_stream stream_;
  char ignored_ = 0;
  const AdminHttp::Handler& handler_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

struct AdminHttp::Impl {
  Handler handler;  // outlives the connections, which io holds
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  std::thread thread;

  void accept() {
    acceptor.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (!error) std::make_shared<Connection>(std::move(socket), handler)->read();
      accept();
    });
  }

  beast::error_code listen(const tcp::endpoint& endpoint) {
    beast::error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    return error;
  }
};

Result<std::unique_ptr<AdminHttp>> AdminHttp::start(const std::string& host, int port,
                                                    Handler handler) {
  beast::error_code error;
  auto impl = std::make_unique<Impl>();
  impl->handler = std::move(handler);
  const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
  if (!error) error = impl->listen({address, static_cast<uint16_t>(port)});
  if (error) {
    return Error{ErrorKind::kDenied,
                 "cannot listen on " + host + ":" + std::to_string(port) +
                     " for the admin port: " + error.message(),
                 {}};
  }
  impl->accept();
  impl->thread = std::thread([&io = impl->io] { io.run(); });
  return std::unique_ptr<AdminHttp>(new AdminHttp(std::move(impl)));
}

AdminHttp::AdminHttp(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminHttp::~AdminHttp() { stop(); }

int AdminHttp::port() const { return impl_->acceptor.local_endpoint().port(); }

void AdminHttp::stop() {
  impl_->io.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace penstock::local
