#include "plugins/mqtt/broker_stream.h"

#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

namespace penstock::mqtt {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

class PlainStream final : public BrokerStream {
 public:
  explicit PlainStream(asio::io_context& io) : io_(io), socket_(io) {}
  tcp::socket& socket() override { return socket_; }
  void handshake(Done done) override {
    asio::post(io_, [done = std::move(done)] { done({}); });
  }
  void read_some(asio::mutable_buffer buffer, ReadDone done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void write(asio::const_buffer buffer, Done done) override {
    asio::async_write(socket_, buffer, [done = std::move(done)](Code code, size_t) { done(code); });
  }
  std::string explain(Code code) const override { return code.message(); }

 private:
  asio::io_context& io_;
  tcp::socket socket_;
};

bool is_address(const std::string& name) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

asio::ssl::context make_context(const TlsFiles& files) {
  asio::ssl::context context(asio::ssl::context::tls_client);
  boost::system::error_code code;
  // Left alone OpenSSL asks on the terminal, and the gate's thread waits there.
  const auto asked = std::make_shared<bool>(false);  // the context keeps the callback
  context.set_password_callback([asked](size_t, asio::ssl::context::password_purpose) {
    *asked = true;
    return std::string();
  });
  const auto check = [&](const char* option, const std::string& file) {
    if (!code) return;
    if (*asked)
      throw std::runtime_error(std::string(option) + ": the key " + file +
                               " is encrypted; give one without a passphrase");
    throw std::runtime_error(std::string(option) + ": cannot use " + file + ": " + code.message());
  };
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
  context.set_verify_mode(asio::ssl::verify_peer);
  if (files.ca.empty()) {
    context.set_default_verify_paths(code);
    check("tls", "the system's certificate store");
  } else {
    context.load_verify_file(files.ca, code);
    check("tls.ca", files.ca);
  }
  if (!files.cert.empty()) {
    context.use_certificate_chain_file(files.cert, code);
    check("tls.cert", files.cert);
    context.use_private_key_file(files.key, asio::ssl::context::pem, code);
    check("tls.key", files.key);
  }
  return context;
}

class TlsStream final : public BrokerStream {
 public:
  TlsStream(asio::io_context& io, const TlsFiles& files)
      : context_(make_context(files)), stream_(io, context_), name_(files.server_name) {
    SSL* ssl = stream_.native_handle();
    const bool address = is_address(name_);
    // OpenSSL's own name check, because it says "hostname mismatch" when that is the reason.
    const int ok = address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name_.c_str())
                           : SSL_set1_host(ssl, name_.c_str());
    const long sni = address ? 1 : SSL_set_tlsext_host_name(ssl, name_.c_str());
    if (ok != 1 || sni != 1) {
      throw std::runtime_error("tls.server_name: \"" + name_ + "\" is no host name");
    }
  }
  tcp::socket& socket() override { return stream_.next_layer(); }
  void handshake(Done done) override {
    stream_.async_handshake(asio::ssl::stream_base::client, std::move(done));
  }
  void read_some(asio::mutable_buffer buffer, ReadDone done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void write(asio::const_buffer buffer, Done done) override {
    asio::async_write(stream_, buffer, [done = std::move(done)](Code code, size_t) { done(code); });
  }
  std::string explain(Code code) const override {
    // The handle is not const in OpenSSL's interface; the call only reads.
    auto* ssl = const_cast<asio::ssl::stream<tcp::socket>&>(stream_).native_handle();
    const long verdict = SSL_get_verify_result(ssl);
    if (verdict == X509_V_OK) return code.message();
    return std::string("the broker's certificate is not accepted for \"") + name_ +
           "\": " + X509_verify_cert_error_string(verdict) + " (see tls.ca and tls.server_name)";
  }

 private:
  asio::ssl::context context_;
  asio::ssl::stream<tcp::socket> stream_;
  std::string name_;
};

}  // namespace

std::unique_ptr<BrokerStream> make_plain_stream(asio::io_context& io) {
  return std::make_unique<PlainStream>(io);
}

std::unique_ptr<BrokerStream> make_tls_stream(asio::io_context& io, const TlsFiles& files) {
  return std::make_unique<TlsStream>(io, files);
}

}  // namespace penstock::mqtt
