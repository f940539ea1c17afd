// The token request byte by byte, every shape of answer, and the cache as a table of times.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/zerobus/oauth_request.h"
#include "agent/zerobus/token_cache.h"

namespace penstock::zerobus {
namespace {

using namespace std::string_view_literals;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::Not;

const OAuthClient kClient{"app-1", "s3cr3t/+ %"};

TEST(OAuthRequest, IsTheRequestOfTheServiceByteByByte) {
  const auto request =
      token_request("https://acme.cloud.databricks.com", "123", kClient, "main.iot.t 1");
  ASSERT_TRUE(request) << request.error().what;
  EXPECT_EQ(request->url, "https://acme.cloud.databricks.com:443/oidc/v1/token");
  EXPECT_EQ(request->authorization, "Basic YXBwLTE6czNjcjN0LysgJQ==");
  EXPECT_EQ(request->body,
            "grant_type=client_credentials&scope=all-apis"
            "&resource=api%3A%2F%2Fdatabricks%2Fworkspaces%2F123%2FzerobusDirectWriteApi"
            "&authorization_details="
            "%5B%7B%22type%22%3A%22unity_catalog_privileges%22%2C%22privileges%22%3A%5B%22USE+"
            "CATALOG%22%5D%2C%22object_type%22%3A%22CATALOG%22%2C%22object_full_path%22%3A%22main"
            "%22%7D%2C"
            "%7B%22type%22%3A%22unity_catalog_privileges%22%2C%22privileges%22%3A%5B%22USE+"
            "SCHEMA%22%5D%2C%22object_type%22%3A%22SCHEMA%22%2C%22object_full_path%22%3A%22main."
            "iot%22%7D%2C"
            "%7B%22type%22%3A%22unity_catalog_privileges%22%2C%22privileges%22%3A%5B%22SELECT%22"
            "%2C%22MODIFY%22%5D%2C%22object_type%22%3A%22TABLE%22%2C%22object_full_path%22%3A%22"
            "main.iot.t+1%22%2C%22operations%22%3A%5B%22zerobuswrite%22%5D%7D%5D");
}

TEST(OAuthRequest, NamesAreQuotedForJsonAndForTheForm) {
  const auto request = token_request("https://w", "1", kClient, "a\"b.c\\d.\xC3\xA9&=\n");
  ASSERT_TRUE(request);
  EXPECT_THAT(request->body, HasSubstr("%22a%5C%22b.c%5C%5Cd.%C3%A9%26%3D%5Cu000a%22"));
  EXPECT_THAT(request->body, Not(HasSubstr("\n")));
}

TEST(OAuthRequest, BasicCredentialsOfEveryLengthArePadded) {
  for (const auto& [secret, expected] :
       std::vector<std::pair<std::string, std::string>>{{"b", "Basic YTpi"},
                                                        {"bc", "Basic YTpiYw=="},
                                                        {"bcd", "Basic YTpiY2Q="},
                                                        {"\xFF\xFE", "Basic YTr//g=="}}) {
    EXPECT_EQ(token_request("https://w", "1", {"a", secret}, "a.b.c")->authorization, expected);
  }
}

TEST(OAuthRequest, WhatCannotBeAskedIsDeniedWithoutARequest) {
  for (const std::string table :
       {"", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "..", "a.b.c."}) {
    const auto request = token_request("https://w", "1", kClient, table);
    ASSERT_FALSE(request) << table;
    EXPECT_EQ(request.error().kind, ErrorKind::kDenied);
    EXPECT_THAT(request.error().what, HasSubstr("catalog.schema.table"));
  }
  for (const std::string url :
       {"http://w", "http://127.example.com", "ftp://w", "", "https://w/x"}) {
    const auto request = token_request(url, "1", kClient, "a.b.c");
    ASSERT_FALSE(request) << url;
    EXPECT_EQ(request.error().kind, ErrorKind::kDenied);
    EXPECT_THAT(request.error().what, Not(HasSubstr("s3cr3t")));
  }
  EXPECT_TRUE(token_request("http://127.0.0.1:8080", "1", kClient, "a.b.c"));
  EXPECT_TRUE(token_request("http://localhost:8080/", "1", kClient, "a.b.c"));
  EXPECT_FALSE(token_request("https://w", "1", {"", "x"}, "a.b.c"));
  EXPECT_FALSE(token_request("https://w", "1", {"x", ""}, "a.b.c"));
  EXPECT_FALSE(token_request("https://w", "1", {"x:y", "z"}, "a.b.c"));
}

TEST(OAuthRequest, TheWorkspaceIdIsTheFirstLabelOfTheEndpoint) {
  EXPECT_EQ(*workspace_id("1234567890123456.zerobus.eu-central-1.cloud.databricks.com"),
            "1234567890123456");
  EXPECT_EQ(*workspace_id("42.zerobus.westeurope.azuredatabricks.net"), "42");
  EXPECT_EQ(*workspace_id("127.0.0.1"), "0");
  EXPECT_EQ(*workspace_id("localhost"), "0");
  for (const std::string host :
       {"10.0.0.1", "acme.zerobus.x.com", "zerobus.x.com", "", "12a.zerobus.x"})
    EXPECT_FALSE(workspace_id(host)) << host;
}

// ---- answers

Result<AccessToken> answer(const std::string& body, int status = 200,
                           std::optional<Millis> retry_after = {}) {
  return read_token({status, body, retry_after}, kClient);
}

TEST(OAuthAnswer, TheLifetimeIsAWholeNumberInAnyQuotesOrNone) {
  const auto lifetime = [](const std::string& expires_in) {
    const auto token = answer(R"({"access_token":"t0k","token_type":"x")" + expires_in + "}");
    EXPECT_TRUE(token) << expires_in;
    EXPECT_EQ(token ? token->value : "", "t0k");
    return token ? token->lifetime : std::nullopt;
  };
  EXPECT_EQ(lifetime(R"(,"expires_in":3600)"), seconds(3600));
  EXPECT_EQ(lifetime(R"(,"expires_in":"3600")"), seconds(3600));
  EXPECT_EQ(lifetime(R"(,"expires_in":3600.0)"), seconds(3600));
  EXPECT_EQ(lifetime(R"(,"expires_in":1e99)"), seconds(30 * 24 * 3600));
  for (const std::string unusable :
       {"", R"(,"expires_in":0)", R"(,"expires_in":-5)", R"(,"expires_in":3600.5)",
        R"(,"expires_in":"0")", R"(,"expires_in":"3600.5")", R"(,"expires_in":"soon")",
        R"(,"expires_in":"36 ")", R"(,"expires_in":"")", R"(,"expires_in":null)",
        R"(,"expires_in":true)", R"(,"expires_in":[3600])", R"(,"expires_in":{})"}) {
    EXPECT_EQ(lifetime(unusable), std::nullopt) << unusable;
  }
}

TEST(OAuthAnswer, WhatHoldsNoTokenIsDenied) {
  for (const std::string& body : std::vector<std::string>{
           "",
           "{}",
           "[]",
           "null",
           "\"t0k\"",
           "<html>login</html>",
           R"({"access_token":""})",
           R"({"access_token":7})",
           R"({"access_token":null})",
           R"({"access_token":"a b"})",
           R"({"access_token":"a\nb"})",
           "{\"access_token\":\"\xC3\xA9\"}",
           R"({"access_token":"t0k")",
           R"({"access_token":"t0k"}})",
           R"({"access_token":"t0k"}{})",
           R"([{"access_token":"t0k"}])",
           R"({"access_token":{"access_token":"t0k"}})",
           "\xEF\xBB\xBF{}",
           "{\"access_token\":\"t0k\",\"x\":\"\xFF\"}",
           R"({"access_token":"t0k","expires_in":1e999})",
           R"({"access_token":"t0k\ud800"})",
           R"({"access_token":"\u0000"})",
           R"({"access_token":")" + std::string(16385, 'a') + "\"}",
           R"({"access_token":"t0k","x":)" + std::string(100, '[') + std::string(100, ']') + "}",
           std::string(200'000, '['),
           std::string(200'000, '{'),
           std::string(900'000, '"'),
           std::string("\0\xFF", 2)}) {
    const auto token = answer(body);
    ASSERT_FALSE(token) << body.substr(0, 40);
    EXPECT_EQ(token.error().kind, ErrorKind::kDenied);
    EXPECT_THAT(token.error().what, HasSubstr("workspace_url"));
    EXPECT_THAT(token.error().what, Not(HasSubstr("t0k")));
  }
}

TEST(OAuthAnswer, EveryStatusIsRetriedSlowedOrReported) {
  struct Row {
    int status;
    ErrorKind kind;
    std::string says;
  };
  for (const auto& [status, kind, says] : std::vector<Row>{
           {500, ErrorKind::kTransient, "HTTP 500"},
           {502, ErrorKind::kTransient, "HTTP 502"},
           {503, ErrorKind::kTransient, "HTTP 503"},
           {408, ErrorKind::kTransient, "HTTP 408"},
           {429, ErrorKind::kThrottled, "HTTP 429"},
           {400, ErrorKind::kDenied, "SELECT and MODIFY"},
           {401, ErrorKind::kDenied, "client_secret"},
           {403, ErrorKind::kDenied, "directly on the table"},
           {404, ErrorKind::kDenied, "workspace_url"},
           {302, ErrorKind::kDenied, "workspace_url"},
           {204, ErrorKind::kDenied, "workspace_url"},
       }) {
    const auto token = answer(R"({"access_token":"t0k"})", status, Millis(7000));
    ASSERT_FALSE(token) << status;
    EXPECT_EQ(token.error().kind, kind) << status;
    EXPECT_THAT(token.error().what, HasSubstr(says));
    const bool paced = kind != ErrorKind::kDenied;
    EXPECT_EQ(token.error().retry_after, paced ? std::optional(Millis(7000)) : std::nullopt);
  }
}

TEST(OAuthAnswer, TheServersReasonIsQuotedButNeverWhatItWasSent) {
  EXPECT_THAT(
      answer(R"({"error":"invalid_client","error_description":"Client\u0007 unknown"})", 401)
          .error()
          .what,
      HasSubstr("(invalid_client: Client\\x07 unknown)"));
  for (const std::string echo :
       {"s3cr3t/+ %", "s3cr3t%2F%2B+%25", "Basic YXBwLTE6czNjcjN0LysgJQ=="}) {
    const auto token =
        answer(R"({"error":"bad","error_description":"you sent )" + echo + "\"}", 400);
    EXPECT_THAT(token.error().what, Not(HasSubstr(echo)));
  }
  EXPECT_LT(answer(R"({"error":")" + std::string(900'000, 'x') + "\"}", 500).error().what.size(),
            600u);
  EXPECT_THAT(
      read_token({401, R"({"error":"invalid_client"})", {}}, OAuthClient{"app", "i"}).error().what,
      HasSubstr("invalid_client"))
      << "a secret of one letter stands in every text";
}

TEST(OAuthAnswer, AMissingLifetimeIsNoReasonToRefuseATokenAndTheFirstOfTwoCounts) {
  EXPECT_EQ(answer(R"( {"x":[{}],"access_token":"one","access_token":"two"} )")->value, "one");
  EXPECT_EQ(answer(R"({"access_token":")" + std::string(16384, 'a') + "\"}")->value.size(), 16384u);
  EXPECT_EQ(answer(R"({"access_token":"a","expires_in":"-9223372036854775808"})")->lifetime,
            std::nullopt);
  EXPECT_EQ(answer(R"({"access_token":"a","expires_in":18446744073709551615})")->lifetime,
            seconds(30 * 24 * 3600));
}

// Whatever is changed in an answer: a token that fits into a header or an error that says
// something.
TEST(OAuthAnswer, NoDamagedAnswerDoesHarm) {
  const std::string whole =
      R"({"access_token":"eyJ.t0k","expires_in":"3600","token_type":"Bearer","scope":"all-apis",)"
      R"("error":"invalid","error_description":"no \u00e9 \"x\"","deep":[[{"a":[1,2.5e3,null]}]]})";
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string_view bytes = "\"\\{}[],:0e-+.u\x00\x1F\x7F\xC3\xFF tnf"sv;
  for (int i = 0; i < 5000; ++i) {
    std::string body = whole.substr(0, 1 + random() % whole.size());
    if (random() % 2) body = whole;
    for (size_t n = random() % 4; n > 0; --n)
      body[random() % body.size()] = bytes[random() % bytes.size()];
    for (const int status : {200, 400}) {
      const auto token = answer(body, status);
      if (!token) {
        ASSERT_FALSE(token.error().what.empty()) << body;
        continue;
      }
      ASSERT_EQ(status, 200) << body;
      ASSERT_FALSE(token->value.empty()) << body;
      for (const char c : token->value) ASSERT_TRUE(c > 32 && c < 127) << body;
    }
  }
}

// ---- cache

class TokenCacheTest : public testing::Test {
 protected:
  static MonoTime at(int64_t s) { return MonoTime(seconds(1'000'000 + s)); }
  static Result<AccessToken> token(std::string value, std::optional<int> lifetime_s) {
    AccessToken made{std::move(value), {}};
    if (lifetime_s) made.lifetime = seconds(*lifetime_s);
    return made;
  }
  static Result<AccessToken> failure(ErrorKind kind = ErrorKind::kTransient,
                                     std::optional<Millis> retry_after = {}) {
    return Error{kind, "down", retry_after};
  }
  // "old", "fetch", "old+fetch", "wait" or "error".
  std::string ask(int64_t s, bool fresh = false, const std::string& table = "t") {
    const auto step = cache_.ask(table, fresh, at(s));
    std::string said = step.answer ? (*step.answer ? **step.answer : "error") : "";
    if (step.answer && !*step.answer) error_ = step.answer->error();
    if (step.fetch) return said.empty() ? "fetch" : said + "+fetch";
    return said.empty() ? "wait" : said;
  }
  std::string fetched(const Result<AccessToken>& result, int64_t sent, int64_t now) {
    const auto given = cache_.fetched("t", result, at(sent), at(now));
    return given ? *given : "error";
  }

  TokenCache cache_;
  Error error_;
};

TEST_F(TokenCacheTest, OneRequestIsUnderWayPerTable) {
  EXPECT_EQ(ask(0), "fetch");
  EXPECT_EQ(ask(0), "wait");
  EXPECT_EQ(ask(1, true), "wait") << "what is on its way has not been refused";
  EXPECT_EQ(ask(1, false, "other"), "fetch");
  EXPECT_EQ(fetched(token("a", 3600), 0, 2), "a");
  EXPECT_EQ(ask(2), "a");
}

TEST_F(TokenCacheTest, ATokenIsReplacedFiveMinutesBeforeItsEndCountedFromTheRequest) {
  EXPECT_EQ(ask(0), "fetch");
  fetched(token("a", 3600), 0, 20);
  EXPECT_EQ(ask(3299), "a");
  EXPECT_EQ(ask(3300), "a+fetch");
  EXPECT_EQ(ask(3301), "a") << "single flight";
  EXPECT_EQ(fetched(token("b", 3600), 3300, 3302), "b");
  EXPECT_EQ(ask(3302), "b");
  EXPECT_EQ(ask(3300 + 3299), "b");
}

TEST_F(TokenCacheTest, AShortTokenIsReplacedAtHalfItsLife) {
  ask(0);
  fetched(token("a", 60), 0, 1);
  EXPECT_EQ(ask(29), "a");
  EXPECT_EQ(ask(30), "a+fetch");
}

TEST_F(TokenCacheTest, NothingIsServedFromItsEndOn) {
  ask(0);
  fetched(token("a", 60), 0, 10);
  EXPECT_EQ(ask(60), "fetch") << "not 70: it counts from before the request";
}

TEST_F(TokenCacheTest, TheOldTokenServesWhileAReplacementFails) {
  ask(0);
  fetched(token("a", 3600), 0, 0);
  EXPECT_EQ(ask(3400), "a+fetch");
  EXPECT_EQ(fetched(failure(), 3400, 3410), "a");
  EXPECT_EQ(ask(3414), "a") << "a pause of 5 s";
  EXPECT_EQ(ask(3415), "a+fetch");
  fetched(failure(), 3415, 3596);
  EXPECT_EQ(ask(3597), "a") << "half of what is left: 2 s";
  EXPECT_EQ(ask(3598), "a+fetch");
  EXPECT_EQ(fetched(failure(ErrorKind::kDenied), 3598, 3600), "error") << "it has ended meanwhile";
  EXPECT_EQ(ask(3600), "fetch") << "whoever needs one now has its own backoff";
}

TEST_F(TokenCacheTest, RetryAfterHoldsWithAndWithoutAToken) {
  ask(0);
  EXPECT_EQ(fetched(failure(ErrorKind::kThrottled, Millis(30'000)), 0, 0), "error");
  EXPECT_EQ(ask(10), "error");
  EXPECT_EQ(error_.kind, ErrorKind::kThrottled);
  EXPECT_EQ(error_.retry_after, Millis(20'000));
  EXPECT_EQ(ask(30), "fetch");
  fetched(token("a", 600), 30, 30);
  EXPECT_EQ(ask(400), "a+fetch");
  fetched(failure(ErrorKind::kThrottled, Millis(60'000)), 400, 400);
  EXPECT_EQ(ask(459), "a");
  EXPECT_EQ(ask(460), "a+fetch");
}

TEST_F(TokenCacheTest, ARefusedTokenIsNotServedAgain) {
  ask(0);
  fetched(token("a", 3600), 0, 0);
  EXPECT_EQ(ask(10, true), "fetch");
  EXPECT_EQ(ask(10), "wait") << "also not to others";
  EXPECT_EQ(fetched(failure(), 10, 11), "error") << "not the refused one as a fallback";
  EXPECT_EQ(ask(11), "fetch");
}

TEST_F(TokenCacheTest, ATokenWithoutALifetimeServesThoseWhoWaitAndNobodyElse) {
  ask(0);
  EXPECT_EQ(ask(0), "wait");
  EXPECT_EQ(fetched(token("once", {}), 0, 1), "once");
  EXPECT_EQ(ask(1), "fetch");
}

TEST_F(TokenCacheTest, ATokenThatArrivesExpiredIsAFailureThatPasses) {
  ask(0);
  const auto late = cache_.fetched("t", token("a", 20), at(0), at(20));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kTransient);
  EXPECT_EQ(ask(20), "fetch");
}

}  // namespace
}  // namespace penstock::zerobus
