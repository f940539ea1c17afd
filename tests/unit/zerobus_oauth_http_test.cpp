// Tokens over real sockets: the HTTP client in clear and over TLS, its limits, and the driver.
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/zerobus/oauth_tokens.h"
#include "tests/support/https_server.h"
#include "tests/support/ports.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"

namespace penstock::zerobus {
namespace {

using test::HttpsServer;
using test::WebAnswer;
using test::WebRequest;
using testing::HasSubstr;
using testing::Not;

constexpr Millis kSoon{30'000};

std::string url(const std::string& scheme_host, uint16_t port) {
  return scheme_host + ":" + std::to_string(port) + "/oidc/v1/token";
}

Result<HttpReply> post(HttpClient& client, const std::string& to) {
  const auto promise = std::make_shared<std::promise<Result<HttpReply>>>();
  auto future = promise->get_future();
  client.post({to, "Basic abc", "a=b&c=d"},
              [promise](Result<HttpReply> reply) { promise->set_value(std::move(reply)); });
  if (future.wait_for(kSoon) == std::future_status::ready) return future.get();
  return Error{ErrorKind::kShutdown, "the client said nothing", {}};
}

Result<HttpReply> post(const HttpOptions& options, const std::string& to) {
  const auto client = HttpClient::start(options);
  return client ? post(**client, to) : client.error();
}

TEST(HttpClientTest, PostsAFormAndReturnsTheWholeAnswer) {
  WebRequest seen;
  HttpsServer server([&](const WebRequest& request) {
    seen = request;
    return WebAnswer{429, "slow down", {{"Retry-After", "7"}}};
  });
  HttpOptions options;
  options.user_agent = "penstock/test";
  const auto reply = post(options, url("http://127.0.0.1", server.port()));
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 429);
  EXPECT_EQ(reply->body, "slow down");
  EXPECT_EQ(reply->retry_after, Millis(7000));
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/oidc/v1/token");
  EXPECT_EQ(seen.body, "a=b&c=d");
  EXPECT_EQ(seen.headers["content-type"], "application/x-www-form-urlencoded");
  EXPECT_EQ(seen.headers["authorization"], "Basic abc");
  EXPECT_EQ(seen.headers["user-agent"], "penstock/test");
  EXPECT_FALSE(seen.headers.contains("expect"));
}

TEST(HttpClientTest, ARedirectIsNotFollowed) {
  HttpsServer other([](const WebRequest&) { return WebAnswer{200, "stolen", {}}; });
  HttpsServer server([&](const WebRequest&) {
    return WebAnswer{302, "", {{"Location", url("http://127.0.0.1", other.port())}}};
  });
  const auto reply = post({}, url("http://127.0.0.1", server.port()));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 302);
}

TEST(HttpClientTest, TlsIsCheckedAgainstTheGivenAuthority) {
  const test::TempDir dir("oauth");
  const auto right = test::make_authority(dir.path(), "right", "localhost");
  const auto wrong = test::make_authority(dir.path(), "wrong", "localhost");
  HttpsServer server([](const WebRequest&) { return WebAnswer{200, "hello", {}}; }, &right);
  HttpOptions options;
  options.ca_file = right.ca;
  const auto reply = post(options, url("https://localhost", server.port()));
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->body, "hello");

  options.ca_file = wrong.ca;
  const auto refused = post(options, url("https://localhost", server.port()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kTransient) << "a clock that is not set yet passes";
  EXPECT_THAT(refused.error().what, HasSubstr("tls.ca"));

  options.ca_file = "";
  EXPECT_FALSE(post(options, url("https://localhost", server.port()))) << "the system's store";
  options.ca_file = right.ca;
  EXPECT_FALSE(post(options, url("https://127.0.0.1", server.port()))) << "another name";
  options.ca_file = dir.path() / "none.pem";
  const auto unreadable = post(options, url("https://localhost", server.port()));
  ASSERT_FALSE(unreadable);
  EXPECT_EQ(unreadable.error().kind, ErrorKind::kDenied);
}

// libcurl keeps what it made of a CA file for a day, unless it is told otherwise.
TEST(HttpClientTest, AConnectionIsCheckedAgainstTheAuthoritiesThatTheFileHoldsThen) {
  const test::TempDir dir("oauth");
  const auto before = test::make_authority(dir.path(), "before", "localhost");
  const auto after = test::make_authority(dir.path(), "after", "localhost");
  const auto hello = [](const WebRequest&) { return WebAnswer{200, "hello", {}}; };
  HttpsServer old_server(hello, &before);  // both close after each answer
  HttpsServer new_server(hello, &after);
  HttpOptions options;
  options.ca_file = dir.path() / "ca.pem";
  std::filesystem::copy_file(before.ca, options.ca_file);
  const auto client = HttpClient::start(options);
  ASSERT_TRUE(client);
  EXPECT_TRUE(post(**client, url("https://localhost", old_server.port())));
  EXPECT_FALSE(post(**client, url("https://localhost", new_server.port())));
  std::filesystem::rename(after.ca, options.ca_file);
  EXPECT_FALSE(post(**client, url("https://localhost", old_server.port())));
  const auto reply = post(**client, url("https://localhost", new_server.port()));
  EXPECT_TRUE(reply) << reply.error().what;
}

TEST(HttpClientTest, WhatCannotBeReachedOrDoesNotAnswerInTimeIsTransient) {
  const auto refused = post({}, url("http://127.0.0.1", test::free_tcp_port()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kTransient);

  std::promise<void> release;
  HttpsServer silent([&, wait = release.get_future().share()](const WebRequest&) {
    wait.wait();
    return WebAnswer{};
  });
  HttpOptions options;
  options.timeout = Millis(100);
  const auto late = post(options, url("http://127.0.0.1", silent.port()));
  release.set_value();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kTransient);
  EXPECT_THAT(late.error().what, HasSubstr("oidc/v1/token"));
}

TEST(HttpClientTest, AnAnswerIsReadUpToItsLimit) {
  HttpsServer server([](const WebRequest&) { return WebAnswer{200, std::string(2000, 'x'), {}}; });
  HttpOptions options;
  options.max_body_bytes = 2000;
  EXPECT_TRUE(post(options, url("http://127.0.0.1", server.port())));
  options.max_body_bytes = 1999;
  const auto reply = post(options, url("http://127.0.0.1", server.port()));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, ErrorKind::kDenied);
}

TEST(HttpClientTest, EndsWhileARequestIsUnderWayWithoutCallingBack) {
  std::promise<void> arrived;
  std::promise<void> release;
  HttpsServer server([&, wait = release.get_future().share()](const WebRequest&) {
    arrived.set_value();
    wait.wait();
    return WebAnswer{};
  });
  std::atomic<bool> called{false};
  {
    auto client = HttpClient::start({});
    ASSERT_TRUE(client);
    (*client)->post({url("http://127.0.0.1", server.port()), "x", "y"},
                    [&](const Result<HttpReply>&) { called = true; });
    ASSERT_EQ(arrived.get_future().wait_for(kSoon), std::future_status::ready);
  }
  EXPECT_FALSE(called);
  release.set_value();
}

// ---- the driver

// A workspace that answers what the test queued, and keeps what it was asked.
class Workspace {
 public:
  Workspace() : server_([this](const WebRequest& request) { return answer(request); }) {}

  void queue(WebAnswer answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  std::vector<WebRequest> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  OAuthSettings settings() {
    return {"http://127.0.0.1:" + std::to_string(server_.port()), "77", {}};
  }

 private:
  WebAnswer answer(const WebRequest& request) {
    const std::lock_guard lock(mutex_);
    seen_.push_back(request);
    if (answers_.empty()) return {503, "", {}};
    auto next = std::move(answers_.front());
    answers_.pop_front();
    return next;
  }

  std::mutex mutex_;
  std::deque<WebAnswer> answers_;
  std::vector<WebRequest> seen_;
  HttpsServer server_;
};

WebAnswer token_answer(const std::string& token, int expires_in = 3600) {
  return {200,
          R"({"access_token":")" + token + R"(","expires_in":)" + std::to_string(expires_in) + "}",
          {}};
}

class OAuthTokensTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = OAuthTokens::start(
        workspace_.settings(),
        [this](bool fresh) -> Result<OAuthClient> {
          rereads_ += fresh ? 1 : 0;
          if (secret_.empty()) return Error{ErrorKind::kDenied, "credential zb is missing", {}};
          return OAuthClient{"app", secret_};
        },
        Log::none());
    ASSERT_TRUE(made) << made.error().what;
    tokens_ = *std::move(made);
  }

  std::future<Result<std::string>> ask(const std::string& table, bool fresh = false) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    tokens_->get(table, fresh,
                 [promise](Result<std::string> token) { promise->set_value(std::move(token)); });
    return promise->get_future();
  }
  std::string get(const std::string& table, bool fresh = false) {
    auto future = ask(table, fresh);
    if (future.wait_for(kSoon) != std::future_status::ready) return "no answer";
    auto token = future.get();
    return token ? *token : std::string(to_string(token.error().kind)) + ": " + token.error().what;
  }

  Workspace workspace_;
  std::string secret_ = "old-secret";
  int rereads_ = 0;
  std::unique_ptr<OAuthTokens> tokens_;
};

TEST_F(OAuthTokensTest, EachTableHasItsOwnTokenAndKeepsIt) {
  workspace_.queue(token_answer("one"));
  workspace_.queue(token_answer("two"));
  EXPECT_EQ(get("a.b.c"), "one");
  EXPECT_EQ(get("a.b.d"), "two");
  EXPECT_EQ(get("a.b.c"), "one");
  const auto seen = workspace_.seen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_THAT(seen[0].body, HasSubstr("workspaces%2F77%2F"));
  EXPECT_THAT(seen[0].body, HasSubstr("%22a.b.c%22"));
  EXPECT_THAT(seen[1].body, HasSubstr("%22a.b.d%22"));
}

TEST_F(OAuthTokensTest, ManyWhoAskAtOnceCauseOneRequest) {
  workspace_.queue(token_answer("one"));
  std::vector<std::future<Result<std::string>>> all;
  for (int i = 0; i < 20; ++i) all.push_back(ask("a.b.c"));
  for (auto& one : all) {
    ASSERT_EQ(one.wait_for(kSoon), std::future_status::ready);
    EXPECT_EQ(*one.get(), "one");
  }
  EXPECT_EQ(workspace_.seen().size(), 1u);
}

TEST_F(OAuthTokensTest, ARefusedTokenBringsNewSecretsAndANewToken) {
  workspace_.queue(token_answer("one"));
  workspace_.queue(token_answer("two"));
  EXPECT_EQ(get("a.b.c"), "one");
  EXPECT_EQ(rereads_, 0);
  secret_ = "new-secret";
  EXPECT_EQ(get("a.b.c", true), "two");
  EXPECT_EQ(rereads_, 1);
  const auto seen = workspace_.seen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_NE(seen[0].headers.at("authorization"), seen[1].headers.at("authorization"));
}

TEST_F(OAuthTokensTest, SecretsThatAreRefusedAreReadAgainAndNeverShown) {
  workspace_.queue({401, R"({"error":"invalid_client","error_description":"old-secret"})", {}});
  workspace_.queue(token_answer("two"));
  const auto refused = get("a.b.c");
  EXPECT_THAT(refused, HasSubstr("no access token for a.b.c"));
  EXPECT_THAT(refused, HasSubstr("HTTP 401"));
  EXPECT_THAT(refused, Not(HasSubstr("old-secret")));
  EXPECT_EQ(get("a.b.c"), "two");
  EXPECT_EQ(rereads_, 1);
}

TEST_F(OAuthTokensTest, ASecretThatIsMissingIsAskedForAgainAndNothingIsSent) {
  secret_ = "";
  EXPECT_THAT(get("a.b.c"), HasSubstr("credential zb is missing"));
  EXPECT_TRUE(workspace_.seen().empty());
  secret_ = "here";
  workspace_.queue(token_answer("one"));
  EXPECT_EQ(get("a.b.c"), "one");
  EXPECT_EQ(rereads_, 1);
}

TEST_F(OAuthTokensTest, ATroubledWorkspaceIsAskedAgainAtTheNextCall) {
  workspace_.queue({503, "", {}});
  workspace_.queue(token_answer("one"));
  EXPECT_THAT(get("a.b.c"), HasSubstr("HTTP 503"));
  EXPECT_EQ(get("a.b.c"), "one");
  EXPECT_EQ(rereads_, 0);
}

TEST_F(OAuthTokensTest, EndsWithRequestsUnderWay) {
  for (int i = 0; i < 5; ++i) ask("a.b.t" + std::to_string(i));
  tokens_.reset();
}

}  // namespace
}  // namespace penstock::zerobus
