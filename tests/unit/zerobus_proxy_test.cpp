// Goal: streams and requests go through the proxy that configuration or environment name, with TLS
// end to end, and a proxy that does not work is named while nothing is lost. Method: the decision
// as a table; then a CONNECT proxy between real client and server.
#include <future>
#include <map>

#include <gmock/gmock.h>

#include "agent/zerobus/http_client.h"
#include "tests/support/connect_proxy.h"
#include "tests/support/https_server.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/zerobus_transport_rig.h"

namespace penstock::zerobus {
namespace {

using test::ConnectProxy;
using testing::Each;
using testing::HasSubstr;
using testing::Not;

using Variables = std::map<std::string, std::string, std::less<>>;

EnvironmentLookup environment(const Variables& variables) {
  return [variables](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

// "direct", "host:port" or the error.
std::string decided(std::string_view host, std::string_view configured, const Variables& variables,
                    ProxyUse use = ProxyUse::kStreams) {
  const auto proxy = proxy_for(host, configured, use, environment(variables));
  if (!proxy) return proxy.error().what;
  return *proxy ? (*proxy)->address() : "direct";
}

TEST(ZerobusProxy, TheConfigurationGoesBeforeTheEnvironment) {
  const Variables variables{{"https_proxy", "http://env:3128"}};
  EXPECT_EQ(decided("ws.example.com", "", variables), "env:3128");
  EXPECT_EQ(decided("ws.example.com", "http://own:8080", variables), "own:8080");
  EXPECT_EQ(decided("ws.example.com", "none", variables), "direct");
  EXPECT_EQ(decided("ws.example.com", "", {}), "direct");
}

TEST(ZerobusProxy, TheEnvironmentIsReadInTheOrderOfTheServicesClients) {
  Variables variables;
  for (const char* name :
       {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "GRPC_PROXY", "grpc_proxy"}) {
    variables[name] = std::string("http://") + name + ":1";
    EXPECT_EQ(decided("a.b", "", variables), std::string(name) + ":1");
  }
  EXPECT_EQ(decided("a.b", "", variables, ProxyUse::kRequests), "https_proxy:1");
  variables["grpc_proxy"] = "";
  EXPECT_EQ(decided("a.b", "", variables), "GRPC_PROXY:1") << "an empty one does not count";
  EXPECT_EQ(decided("a.b", "", {{"all_proxy", "p:2"}}, ProxyUse::kRequests), "p:2");
  EXPECT_EQ(decided("a.b", "", {{"http_proxy", "p:2"}}, ProxyUse::kRequests), "direct");
}

TEST(ZerobusProxy, NoProxyExceptsHostsAndTheirDomains) {
  const auto with = [](const std::string& list) {
    return Variables{{"https_proxy", "http://p:1"}, {"no_proxy", list}};
  };
  for (const char* list :
       {"*", "example.com", ".example.com", "x, zb.example.com ,y", "ZB.Example.COM"}) {
    EXPECT_EQ(decided("zb.example.com", "", with(list)), "direct") << list;
    EXPECT_EQ(decided("zb.example.com", "http://own:1", with(list)), "direct") << list;
  }
  for (const char* list : {"", ",", "ample.com", "b.example.com", "zb.example.com.org", "."}) {
    EXPECT_EQ(decided("zb.example.com", "", with(list)), "p:1") << list;
  }
  EXPECT_EQ(decided("a.b", "", {{"http_proxy", "p:1"}, {"NO_GRPC_PROXY", "a.b"}}), "direct");
  EXPECT_EQ(decided("a.b", "", {{"http_proxy", "p:1"}, {"no_grpc_proxy", "c"}, {"no_proxy", "*"}}),
            "p:1");
}

TEST(ZerobusProxy, ThisMachineIsReachedThroughAProxyOnlyIfThatIsConfigured) {
  const Variables variables{{"https_proxy", "http://p:1"}};
  for (const char* host : {"localhost", "127.0.0.1", "::1"}) {
    EXPECT_EQ(decided(host, "", variables), "direct");
    EXPECT_EQ(decided(host, "http://own:8080", variables), "own:8080");
  }
}

TEST(ZerobusProxy, WhatIsNoProxyIsNamedWithoutItsPassword) {
  EXPECT_EQ(decided("h", "http://[::1]:8080", {}), "[::1]:8080");
  EXPECT_EQ(decided("h", "proxy", {}), "proxy:80");
  const auto proxy = parse_proxy("http://us%40er:pass@proxy:8080/");
  ASSERT_TRUE(proxy);
  EXPECT_EQ(proxy->address(), "proxy:8080");
  EXPECT_EQ(proxy->url(), "http://us%40er:pass@proxy:8080");
  for (const char* wrong :
       {"https://u:s3cret@p:1", "socks5://u:s3cret@p:1", "http://u:s3cret@", "http://u:s3cret@p:x",
        "http://u:s3cret@p:0", "http://u:s3cret@p/path", "http://u:s3 cret@p:1"}) {
    const auto text = decided("h", wrong, {});
    EXPECT_THAT(text, HasSubstr("expected http://HOST:PORT")) << wrong;
    EXPECT_THAT(text, Not(HasSubstr("cret"))) << wrong;
    EXPECT_THAT(decided("h", "", {{"HTTPS_PROXY", wrong}}), HasSubstr("variable HTTPS_PROXY"));
  }
}

class ThroughAProxy : public testing::Test {
 protected:
  static constexpr const char* kHost = "zerobus.test";  // no name server knows it

  static Proxy to(uint16_t port, std::string credentials = {}) {
    return {"127.0.0.1", port, std::move(credentials)};
  }
  // The end of a stream that never opened.
  static Status failure(const Endpoint& endpoint) {
    const auto transport = transport_to(endpoint);
    const auto recorder = std::make_shared<Recorder>();
    const auto stream = open(*transport, recorder);
    EXPECT_TRUE(recorder->wait_closed());
    EXPECT_EQ(recorder->created, 0);
    return recorder->status();
  }
  Endpoint endpoint(const Proxy& proxy, uint16_t port, bool tls = true) const {
    return {kHost, port, tls, tls ? files_.ca.string() : "", proxy};
  }
  Result<HttpReply> get(const Proxy& proxy, uint16_t port) const {
    HttpOptions options;
    options.ca_file = files_.ca;
    options.proxy = proxy;
    options.timeout = Millis(20'000);
    std::promise<Result<HttpReply>> promise;
    auto client = HttpClient::start(options);
    HttpRequest request;
    request.url = "https://" + std::string(kHost) + ":" + std::to_string(port) + "/x";
    request.authorization = "Bearer t";
    request.get = true;
    (*client)->post(request, [&](Result<HttpReply> reply) { promise.set_value(std::move(reply)); });
    return promise.get_future().get();
  }

  const test::TempDir dir_{"proxy"};
  const test::TestAuthority files_ = test::make_authority(dir_.path(), "proxy", kHost);
};

TEST_F(ThroughAProxy, AStreamGoesEndToEndWithTls) {
  for (const std::string& user : {std::string(), std::string("me:pass")}) {
    Landed landed;
    Server server(collect(landed), 0, server_tls(files_));
    ConnectProxy proxy(user);
    expect_delivery(endpoint(to(proxy.port(), user), server.port()));
    EXPECT_EQ(proxy.asked(),
              std::vector<std::string>{std::string(kHost) + ":" + std::to_string(server.port())});
    EXPECT_EQ(landed.authorization, "Bearer secret");
  }
}

TEST_F(ThroughAProxy, AStreamWithoutTlsIsTunnelledToo) {
  Landed landed;
  Server server(collect(landed));
  ConnectProxy proxy;
  const auto transport = transport_to(endpoint(to(proxy.port()), server.port(), false));
  const auto recorder = std::make_shared<Recorder>();
  const auto stream = open(*transport, recorder);
  EXPECT_TRUE(recorder->wait_created()) << recorder->status().message;
  EXPECT_EQ(proxy.asked().size(), 1u);
}

TEST_F(ThroughAProxy, RequestsGoThroughItToo) {
  test::HttpsServer server(
      [](const test::WebRequest&) {
        return test::WebAnswer{200, "hi", {}};
      },
      &files_);
  ConnectProxy proxy("me:pass");
  const auto reply = get(to(proxy.port(), "me:pass"), server.port());
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->body, "hi");
  EXPECT_THAT(proxy.asked(), Each(std::string(kHost) + ":" + std::to_string(server.port())));
}

TEST_F(ThroughAProxy, AProxyThatIsNotThereIsNamed) {
  const uint16_t nobody = test::free_tcp_port();
  const std::string name = "through the proxy 127.0.0.1:" + std::to_string(nobody);
  const auto stream = failure(endpoint(to(nobody, "me:s3cret"), 443));
  EXPECT_EQ(stream.code, code::kUnavailable) << "trouble that passes";
  EXPECT_THAT(stream.message, HasSubstr(name));
  const auto request = get(to(nobody, "me:s3cret"), 443);
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().kind, ErrorKind::kTransient);
  EXPECT_THAT(request.error().what, HasSubstr(name));
  EXPECT_THAT(stream.message + request.error().what, Not(HasSubstr("s3cret")));
}

TEST_F(ThroughAProxy, AProxyThatRefusesIsNamedWithItsAnswer) {
  for (const int status : {407, 403, 502}) {
    ConnectProxy proxy("", status);
    const std::string name = "through the proxy 127.0.0.1:" + std::to_string(proxy.port());
    const auto stream = failure(endpoint(to(proxy.port()), 443));
    EXPECT_EQ(stream.code, code::kUnavailable);
    EXPECT_THAT(stream.message, HasSubstr(name));
    EXPECT_THAT(stream.message, HasSubstr(std::to_string(status)));
    const auto request = get(to(proxy.port()), 443);
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().kind, ErrorKind::kTransient);
    EXPECT_THAT(request.error().what, HasSubstr(name));
    EXPECT_THAT(request.error().what, HasSubstr(std::to_string(status)));
  }
}

}  // namespace
}  // namespace penstock::zerobus
