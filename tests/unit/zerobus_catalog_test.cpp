// What is asked of Unity Catalog and what its answers mean; then the driver over a real socket.
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/zerobus/table_catalog.h"
#include "tests/support/https_server.h"

namespace penstock::zerobus {
namespace {

using test::WebAnswer;
using test::WebRequest;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(UnityCatalog, TheTokenIsAskedForWithoutATable) {
  const auto request = catalog_token_request("https://acme.example", {"id", "s3cret"});
  ASSERT_TRUE(request) << request.error().what;
  EXPECT_FALSE(request->get);
  EXPECT_EQ(request->url, "https://acme.example:443/oidc/v1/token");
  EXPECT_EQ(request->authorization, "Basic aWQ6czNjcmV0");
  EXPECT_EQ(request->body, "grant_type=client_credentials&scope=all-apis");
}

TEST(UnityCatalog, TheTableIsAskedForByItsName) {
  const auto request = table_request("https://acme.example/", "main.iot.a_1", "t0k");
  ASSERT_TRUE(request) << request.error().what;
  EXPECT_TRUE(request->get);
  EXPECT_EQ(request->url, "https://acme.example:443/api/2.1/unity-catalog/tables/main.iot.a_1");
  EXPECT_EQ(request->authorization, "Bearer t0k");
  EXPECT_THAT(table_request("https://acme.example", "a/b?c d", "t")->url,
              HasSubstr("/tables/a%2Fb%3Fc%20d"));
  EXPECT_EQ(table_request("http://acme.example", "a.b.c", "t").error().kind, ErrorKind::kDenied)
      << "the token would go in clear";
  EXPECT_EQ(table_request("", "a.b.c", "t").error().kind, ErrorKind::kDenied);
}

TEST(UnityCatalog, AnswersSayWhatToDo) {
  EXPECT_EQ(*read_table_reply({200, "{}", {}}, "a.b.c", "t"), "{}");
  const std::tuple<int, ErrorKind, const char*> cases[] = {
      {500, ErrorKind::kTransient, "HTTP 500"},   {408, ErrorKind::kTransient, "HTTP 408"},
      {429, ErrorKind::kThrottled, "HTTP 429"},   {404, ErrorKind::kDenied, "Create the table"},
      {403, ErrorKind::kDenied, "Grant"},         {401, ErrorKind::kDenied, "credentials"},
      {302, ErrorKind::kDenied, "workspace_url"},
  };
  for (const auto& [status, kind, text] : cases) {
    const auto read = read_table_reply({status, "secret words", Millis(7)}, "a.b.c", "t");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind, kind) << status;
    EXPECT_THAT(read.error().what, HasSubstr(text));
    EXPECT_THAT(read.error().what, Not(HasSubstr("secret words")));
  }
}

TEST(UnityCatalog, TheGrantThatItMissesIsNamedAndTheTokenIsNot) {
  const auto said = [](const std::string& message) {
    const std::string body = R"({"error_code":"PERMISSION_DENIED","message":")" + message + "\"}";
    return read_table_reply({403, body, {}}, "a.b.c", "long-token").error().what;
  };
  EXPECT_THAT(said("User does not have USE SCHEMA on Schema 'a.b'."),
              HasSubstr("HTTP 403 about table a.b.c (User does not have USE SCHEMA on Schema"));
  EXPECT_THAT(said("long-token is not allowed"), Not(HasSubstr("long-token")));
  EXPECT_LT(said(std::string(100'000, 'x')).size(), 1000u);
}

// A workspace that counts and remembers.
class TableCatalogTest : public testing::Test {
 protected:
  WebAnswer answer(const WebRequest& request) {
    std::unique_lock lock(mutex_);
    seen_.push_back(request.method + " " + request.target + " " +
                    request.headers.at("authorization"));
    if (request.target == "/oidc/v1/token") {
      ++token_requests_;
      let_go_.wait(lock, [this] { return !slow_tokens_; });
      if (token_refusals_ > 0) {
        --token_refusals_;
        return {token_status_, "", {}};
      }
      const auto token = "token-" + std::to_string(++tokens_);
      return {200, R"({"access_token":")" + token + R"(","expires_in":3600})", {}};
    }
    if (slow_ && request.method == "GET") let_go_.wait(lock, [this] { return !slow_; });
    const bool revoked = !revoked_.empty() && request.headers.at("authorization") == revoked_;
    if (revoked || refuse_ > 0) {
      if (!revoked) --refuse_;
      return {401, "", {}};
    }
    return {200, "the table", {}};
  }
  std::future<Result<std::string>> ask(TableCatalog& catalog, const std::string& table) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    catalog.get(table, limit_,
                [promise](Result<std::string> body) { promise->set_value(std::move(body)); });
    return promise->get_future();
  }
  // The bodies that many tables get which are asked for at once.
  std::vector<std::string> ask_many(TableCatalog& catalog, int count) {
    slow_tokens(true);  // until all have asked
    std::vector<std::future<Result<std::string>>> asked;
    for (int i = 0; i < count; ++i) asked.push_back(ask(catalog, "a.b.t" + std::to_string(i)));
    slow_tokens(false);
    std::vector<std::string> bodies;
    for (auto& one : asked) bodies.push_back(answer_of(one));
    return bodies;
  }
  static std::string answer_of(std::future<Result<std::string>>& future) {
    if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready) return "no answer";
    const auto got = future.get();
    return got ? *got : "error: " + got.error().what;
  }
  Result<std::string> get(TableCatalog& catalog, const std::string& table) {
    auto future = ask(catalog, table);
    if (future.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
      return Error{ErrorKind::kShutdown, "no answer", {}};
    }
    return future.get();
  }
  static TableCatalog::Credentials principal() {
    return {[](bool) -> Result<OAuthClient> { return OAuthClient{"id", "secret"}; }, {}};
  }
  int token_requests() {
    const std::lock_guard lock(mutex_);
    return token_requests_;
  }
  void refuse_tokens(int count, int status) {
    const std::lock_guard lock(mutex_);
    token_refusals_ = count;
    token_status_ = status;
  }
  void slow_tokens(bool on) {
    {
      const std::lock_guard lock(mutex_);
      slow_tokens_ = on;
    }
    let_go_.notify_all();
  }
  std::unique_ptr<TableCatalog> make(TableCatalog::Credentials credentials) {
    auto made = TableCatalog::start("http://127.0.0.1:" + std::to_string(server_.port()), {},
                                    std::move(credentials));
    EXPECT_TRUE(made);
    return *std::move(made);
  }

  std::mutex mutex_;
  std::vector<std::string> seen_;
  int tokens_ = 0;
  int token_requests_ = 0;
  int token_refusals_ = 0;
  int token_status_ = 0;
  bool slow_tokens_ = false;
  int refuse_ = 0;
  std::string revoked_;  // this one is refused from now on
  bool slow_ = false;    // a table is answered when it is not set any more
  std::condition_variable let_go_;
  Millis limit_{30'000};
  test::HttpsServer server_{[this](const WebRequest& request) { return answer(request); }};
};

TEST_F(TableCatalogTest, OneTokenServesUntilItIsRefused) {
  std::vector<bool> asked;
  auto catalog = make({[&](bool fresh) -> Result<OAuthClient> {
                         asked.push_back(fresh);
                         return OAuthClient{"id", "secret"};
                       },
                       {}});
  EXPECT_EQ(*get(*catalog, "a.b.c"), "the table");
  EXPECT_EQ(*get(*catalog, "a.b.d"), "the table");
  {
    const std::lock_guard lock(mutex_);
    refuse_ = 1;
  }
  EXPECT_EQ(*get(*catalog, "a.b.c"), "the table");
  {
    const std::lock_guard lock(mutex_);
    refuse_ = 2;
  }
  EXPECT_EQ(get(*catalog, "a.b.c").error().kind, ErrorKind::kDenied) << "asked anew once, not more";
  catalog.reset();
  EXPECT_THAT(asked, ElementsAre(false, true, true));
  const std::string kTable = "GET /api/2.1/unity-catalog/tables/";
  const std::string kToken = "POST /oidc/v1/token Basic aWQ6c2VjcmV0";
  EXPECT_THAT(
      seen_, ElementsAre(kToken, kTable + "a.b.c Bearer token-1", kTable + "a.b.d Bearer token-1",
                         kTable + "a.b.c Bearer token-1", kToken, kTable + "a.b.c Bearer token-2",
                         kTable + "a.b.c Bearer token-2", kToken, kTable + "a.b.c Bearer token-3"));
}

TEST_F(TableCatalogTest, ManyTablesAskedForAtOnceCauseOneRequestForTheToken) {
  auto catalog = make(principal());
  EXPECT_THAT(ask_many(*catalog, 20), Each("the table"));
  {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(tokens_, 1);
    revoked_ = "Bearer token-1";
  }
  EXPECT_THAT(ask_many(*catalog, 20), Each("the table"));
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(tokens_, 2) << "all are refused, and one token is enough for all";
}

TEST_F(TableCatalogTest, ATroubleOfTheOneRequestIsTriedOnceMoreForAllWhoWait) {
  auto catalog = make(principal());
  refuse_tokens(1, 503);
  auto bodies = ask_many(*catalog, 20);
  EXPECT_THAT(bodies.front(), HasSubstr("503")) << "whose request it was";
  bodies.erase(bodies.begin());
  EXPECT_THAT(bodies, Each("the table"));
  EXPECT_EQ(token_requests(), 2);
}

TEST_F(TableCatalogTest, AloneItIsTriedOnce) {
  auto catalog = make(principal());
  refuse_tokens(1, 503);
  EXPECT_THAT(get(*catalog, "a.b.c").error().what, HasSubstr("503"));
  EXPECT_EQ(token_requests(), 1) << "whoever asks has its own backoff";
}

TEST_F(TableCatalogTest, WhenItGoesOnAllWhoWaitAreTold) {
  auto catalog = make(principal());
  refuse_tokens(2, 503);
  EXPECT_THAT(ask_many(*catalog, 20), Each(HasSubstr("503")));
  EXPECT_EQ(token_requests(), 2) << "for all of them";
  EXPECT_THAT(ask_many(*catalog, 20), Each("the table"));
  EXPECT_EQ(token_requests(), 3) << "an error is not kept";
}

TEST_F(TableCatalogTest, SecretsThatAreNotAcceptedAreReadAgainOnceForAll) {
  std::vector<bool> asked;
  auto catalog = make({[&](bool fresh) -> Result<OAuthClient> {
                         asked.push_back(fresh);
                         return OAuthClient{"id", "secret"};
                       },
                       {}});
  refuse_tokens(1, 401);
  EXPECT_THAT(ask_many(*catalog, 20), Each(HasSubstr("no access token for Unity Catalog")));
  EXPECT_EQ(token_requests(), 1) << "what a person has to mend is not tried again at once";
  EXPECT_THAT(ask_many(*catalog, 20), Each("the table"));
  catalog.reset();
  EXPECT_THAT(asked, ElementsAre(false, true));
}

TEST_F(TableCatalogTest, OneWhoseTimeIsOverTakesNothingFromThoseWhoWait) {
  auto catalog = make(principal());
  slow_tokens(true);
  limit_ = Millis(300);
  auto first = ask(*catalog, "a.b.a");  // its request is the one
  auto hasty = ask(*catalog, "a.b.c");
  limit_ = Millis(30'000);
  auto patient = ask(*catalog, "a.b.d");
  EXPECT_THAT(answer_of(first), HasSubstr("timed out"));
  EXPECT_THAT(answer_of(hasty), HasSubstr("timed out"));
  slow_tokens(false);
  EXPECT_EQ(answer_of(patient), "the table");
}

TEST_F(TableCatalogTest, WhoeverWaitsWhenItEndsIsNotCalled) {
  auto catalog = make(principal());
  slow_tokens(true);
  std::atomic<int> called{0};
  for (int i = 0; i < 20; ++i) catalog->get("a.b.c", limit_, [&](const auto&) { ++called; });
  catalog.reset();
  EXPECT_EQ(called, 0);
  slow_tokens(false);
}

TEST_F(TableCatalogTest, ATokenOfItsOwnIsUsedAsItIs) {
  auto catalog = make({{}, [](bool) -> Result<std::string> { return std::string("mine"); }});
  EXPECT_EQ(*get(*catalog, "a.b.c"), "the table");
  catalog.reset();
  EXPECT_THAT(seen_, ElementsAre("GET /api/2.1/unity-catalog/tables/a.b.c Bearer mine"));
}

// It would end the headers, or be headers of its own.
TEST_F(TableCatalogTest, ATokenThatNoHeaderCanCarryIsNotSent) {
  const std::string bad[] = {"a-token\n", "a-token\r\nX-Other: 1", std::string("a-tok\0en", 8), ""};
  for (const auto& token : bad) {
    auto catalog = make({{}, [&](bool) -> Result<std::string> { return token; }});
    const auto got = get(*catalog, "a.b.c");
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().kind, ErrorKind::kDenied);
    EXPECT_THAT(got.error().what, HasSubstr("access token"));
    EXPECT_THAT(got.error().what, Not(HasSubstr("a-tok")));
  }
  EXPECT_THAT(seen_, testing::IsEmpty());
}

// Nothing that opens a stream may wait for a workspace that hangs.
TEST_F(TableCatalogTest, AWorkspaceThatHangsIsGivenUpInTime) {
  auto catalog = make(principal());
  {
    const std::lock_guard lock(mutex_);
    slow_ = true;
  }
  limit_ = Millis(200);
  const auto got = get(*catalog, "a.b.c");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::kTransient);
  EXPECT_THAT(got.error().what, HasSubstr("timed out"));
  {
    const std::lock_guard lock(mutex_);
    slow_ = false;
  }
  let_go_.notify_all();
  limit_ = Millis(30'000);
  EXPECT_EQ(*get(*catalog, "a.b.c"), "the table");
}

TEST_F(TableCatalogTest, MissingSecretsAreSaid) {
  auto catalog = make({{}, [](bool) -> Result<std::string> {
                         return Error{ErrorKind::kDenied, "there is none", {}};
                       }});
  EXPECT_EQ(get(*catalog, "a.b.c").error().what, "there is none");
}

}  // namespace
}  // namespace penstock::zerobus
