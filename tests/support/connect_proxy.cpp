#include "tests/support/connect_proxy.h"

#include <mutex>
#include <set>
#include <thread>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/detail/base64.hpp>
#include <sys/socket.h>

namespace penstock::test {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;

constexpr size_t kMaxHead = 8192;

std::string base64(const std::string& text) {
  namespace detail = boost::beast::detail::base64;
  std::string out(detail::encoded_size(text.size()), '\0');
  out.resize(detail::encode(out.data(), text.data(), text.size()));
  return out;
}

// The request's head, without what may follow: a client waits for the answer.
std::string read_head(Tcp::socket& client) {
  std::string head;
  char byte = 0;
  boost::system::error_code error;
  while (head.size() < kMaxHead && head.find("\r\n\r\n") == head.npos &&
         client.read_some(asio::buffer(&byte, 1), error) == 1) {
    head.push_back(byte);
  }
  return head;
}

void copy_all(Tcp::socket& from, Tcp::socket& to) {
  char buffer[16384];
  boost::system::error_code error;
  for (;;) {
    const size_t size = from.read_some(asio::buffer(buffer), error);
    if (error) break;
    asio::write(to, asio::buffer(buffer, size), error);
    if (error) break;
  }
  ::shutdown(to.native_handle(), SHUT_WR);
}

}  // namespace

struct ConnectProxy::Impl {
  std::string credentials;
  int refuse = 0;
  asio::io_context io;
  Tcp::acceptor acceptor{io, Tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  mutable std::mutex mutex;
  bool stopping = false;
  std::vector<std::string> asked;
  std::set<int> open;
  std::vector<std::thread> threads;

  // False once the proxy is ending.
  bool note(Tcp::socket& socket) {
    const std::lock_guard lock(mutex);
    if (!stopping) open.insert(socket.native_handle());
    return !stopping;
  }
  void forget(Tcp::socket& socket) {
    const std::lock_guard lock(mutex);
    open.erase(socket.native_handle());
  }

  void accept_all() {
    for (;;) {
      auto client = std::make_shared<Tcp::socket>(io);
      boost::system::error_code error;
      acceptor.accept(*client, error);
      const std::lock_guard lock(mutex);
      if (stopping) return;
      if (!error) threads.emplace_back([this, client] { serve(*client); });
    }
  }

  void serve(Tcp::socket& client) {
    if (!note(client)) return;
    Tcp::socket server(io);
    if (tunnel(client, server) && note(server)) {
      std::thread back([&] { copy_all(server, client); });
      copy_all(client, server);
      back.join();
      forget(server);
    }
    forget(client);
  }

  bool tunnel(Tcp::socket& client, Tcp::socket& server) {
    const std::string head = read_head(client);
    const std::string target = head.substr(8, head.find(' ', 8) - 8);
    int status = head.starts_with("CONNECT ") ? refuse : 405;
    if (status == 0) status = connect_to(head, target, server);
    {
      const std::lock_guard lock(mutex);
      asked.push_back(target);
    }
    boost::system::error_code error;
    const std::string answer = "HTTP/1.1 " + std::to_string(status) + " x\r\n" +
                               (status == 200 ? "" : "Content-Length: 0\r\n") + "\r\n";
    asio::write(client, asio::buffer(answer), error);
    return status == 200 && !error;
  }

  int connect_to(const std::string& head, const std::string& target, Tcp::socket& server) const {
    if (!credentials.empty() && head.find("Basic " + base64(credentials)) == head.npos) return 407;
    const auto port = static_cast<uint16_t>(std::stoul(target.substr(target.rfind(':') + 1)));
    boost::system::error_code error;
    server.connect(Tcp::endpoint(asio::ip::address_v4::loopback(), port), error);
    return error ? 502 : 200;
  }
};

ConnectProxy::ConnectProxy(std::string credentials, int refuse) : impl_(std::make_unique<Impl>()) {
  impl_->credentials = std::move(credentials);
  impl_->refuse = refuse;
  const std::lock_guard lock(impl_->mutex);  // the thread adds others to the list
  impl_->threads.emplace_back([this] { impl_->accept_all(); });
}

ConnectProxy::~ConnectProxy() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    for (const int socket : impl_->open) ::shutdown(socket, SHUT_RDWR);
    ::shutdown(impl_->acceptor.native_handle(), SHUT_RDWR);  // ends accept()
    threads.swap(impl_->threads);
  }
  for (auto& thread : threads) thread.join();
}

uint16_t ConnectProxy::port() const { return impl_->acceptor.local_endpoint().port(); }

std::vector<std::string> ConnectProxy::asked() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->asked;
}

}  // namespace penstock::test
