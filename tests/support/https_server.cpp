#include "tests/support/https_server.h"

#include <cctype>
#include <mutex>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <sys/socket.h>

namespace penstock::test {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;

WebRequest plain(const http::request<http::string_body>& request) {
  WebRequest out{std::string(request.method_string()), std::string(request.target()), {}, {}};
  for (const auto& field : request) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out.headers[name] = std::string(field.value());
  }
  out.body = request.body();
  return out;
}

template <class Stream>
void serve(Stream& stream, const HttpsServer::Handler& handler) {
  boost::system::error_code error;
  boost::beast::flat_buffer buffer;
  http::request<http::string_body> request;
  http::read(stream, buffer, request, error);
  if (error) return;
  const auto answer = handler(plain(request));
  http::response<http::string_body> response;
  response.result(static_cast<unsigned>(answer.status));
  for (const auto& [name, value] : answer.headers) response.set(name, value);
  response.body() = answer.body;
  response.keep_alive(false);
  response.prepare_payload();
  http::write(stream, response, error);
}

}  // namespace

struct HttpsServer::Impl {
  explicit Impl(Handler h) : handler(std::move(h)) {}

  void run() {
    while (true) {
      Tcp::socket socket(io);
      boost::system::error_code error;
      acceptor.accept(socket, error);
      {
        const std::lock_guard lock(mutex);
        if (stopping) return;
        if (error) continue;
        open = socket.native_handle();
      }
      if (tls) {
        asio::ssl::stream<Tcp::socket&> stream(socket, *tls);
        stream.handshake(asio::ssl::stream_base::server, error);
        if (!error) serve(stream, handler);
        if (!error) stream.shutdown(error);
      } else {
        serve(socket, handler);
      }
      const std::lock_guard lock(mutex);
      open = -1;
    }
  }

  Handler handler;
  asio::io_context io;
  std::unique_ptr<asio::ssl::context> tls;
  Tcp::acceptor acceptor{io, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::mutex mutex;
  bool stopping = false;
  int open = -1;  // the connection being served
  std::thread thread;
};

HttpsServer::HttpsServer(Handler handler, const TestAuthority* tls)
    : impl_(std::make_unique<Impl>(std::move(handler))) {
  if (tls) {
    impl_->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    impl_->tls->use_certificate_chain_file(tls->cert.string());
    impl_->tls->use_private_key_file(tls->key.string(), asio::ssl::context::pem);
  }
  impl_->thread = std::thread([this] { impl_->run(); });
}

HttpsServer::~HttpsServer() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    if (impl_->open >= 0) ::shutdown(impl_->open, SHUT_RDWR);
    ::shutdown(impl_->acceptor.native_handle(), SHUT_RDWR);  // ends accept()
  }
  impl_->thread.join();
}

uint16_t HttpsServer::port() const { return impl_->acceptor.local_endpoint().port(); }

}  // namespace penstock::test
