// The identity service of the local server: only the documented request gets a token, and a token
// serves what it was asked for until it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/zerobus/oauth_request.h"
#include "tests/zerobus_local/tokens.h"

namespace penstock::local {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

constexpr std::string_view kForm = "application/x-www-form-urlencoded";
const MonoTime kStart = MonoTime() + std::chrono::hours(1);

// What the agent itself sends; kept alive for the views of a call.
zerobus::HttpRequest request_for(const std::string& table, const std::string& secret = "s3cret") {
  auto request = zerobus::token_request("http://127.0.0.1:1", "0", {"app", secret}, table);
  EXPECT_TRUE(request) << request.error().what;
  return *request;
}

HttpCall call_of(const zerobus::HttpRequest& request) {
  return {"POST", "/oidc/v1/token", request.authorization, kForm, request.body};
}

std::string token_in(const HttpReply& reply) {
  const size_t at = reply.body.find("local-");
  return at == std::string::npos ? "" : reply.body.substr(at, reply.body.find('"', at) - at);
}

class LocalTokens : public ::testing::Test {
 protected:
  std::string give(const std::string& table) {
    return token_in(tokens_.give(call_of(request_for(table)), kStart));
  }
  StatusCode check(const std::string& token, std::string_view table, Millis after = Millis(0)) {
    return tokens_.check(token, table, kStart + after).error_code();
  }

  Tokens tokens_{{{}, "app", "s3cret", Millis(10'000)}};
};

TEST_F(LocalTokens, TheDocumentedRequestGetsATokenOfItsTableThatEnds) {
  const auto reply = tokens_.give(call_of(request_for("main.iot.t")), kStart);
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.body, HasSubstr("\"expires_in\":10"));
  const std::string token = token_in(reply);
  ASSERT_NE(token, "");
  EXPECT_EQ(check(token, "main.iot.t"), StatusCode::OK);
  EXPECT_EQ(check(token, "Main.IoT.T", Millis(9'999)), StatusCode::OK);
  EXPECT_EQ(check(token, "main.iot.t", Millis(10'000)), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(check(token, "main.iot.other"), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(check("local-made-up", "main.iot.t"), StatusCode::UNAUTHENTICATED);
  EXPECT_NE(give("main.iot.t"), token);
}

TEST_F(LocalTokens, AnyOtherClientIsTurnedAway) {
  const auto stranger = request_for("main.iot.t", "guessed");
  EXPECT_EQ(tokens_.give(call_of(stranger), kStart).status, 401);
  auto call = call_of(stranger);
  for (const std::string_view authorization : {"", "Bearer x", "Basic ", "Basic !!!"}) {
    call.authorization = authorization;
    EXPECT_EQ(tokens_.give(call, kStart).status, 401) << authorization;
  }
}

TEST_F(LocalTokens, EveryPartOfTheRequestCounts) {
  const auto good = request_for("main.iot.t");
  const auto refusal = [&](const std::string& from, const std::string& to) {
    auto body = good.body;
    const size_t at = body.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    body.replace(at, from.size(), to);
    auto call = call_of(good);
    call.body = body;
    const auto reply = tokens_.give(call, kStart);
    return std::to_string(reply.status) + " " + reply.body;
  };
  EXPECT_THAT(refusal("client_credentials", "password"), HasSubstr("400 {\"error\":\"unsupported"));
  EXPECT_THAT(refusal("all-apis", "sql"), HasSubstr("invalid_scope"));
  EXPECT_THAT(refusal("zerobusDirectWriteApi", "other"), HasSubstr("invalid_target"));
  EXPECT_THAT(refusal("workspaces%2F0%2F", "workspaces%2F"), HasSubstr("invalid_target"));
  EXPECT_THAT(refusal("USE+CATALOG", "USE_CATALOG"), HasSubstr("invalid_authorization_details"));
  EXPECT_THAT(refusal("%5B", "%7B"), HasSubstr("invalid_authorization_details"));
  EXPECT_THAT(refusal("main.iot.t", "t"), HasSubstr("invalid_authorization_details"));
  EXPECT_THAT(refusal("scope=all-apis", "scope=all-apis&scope=all-apis"), HasSubstr("twice"));
  EXPECT_THAT(refusal("scope=all-apis", "scope=all-apis&more=1"), HasSubstr("unknown parameter"));
  auto call = call_of(good);
  call.content_type = "application/json";
  EXPECT_THAT(tokens_.give(call, kStart).body, HasSubstr("invalid_request"));
}

TEST_F(LocalTokens, ATokenThatLacksAGrantIsGivenOutButOpensNoStream) {
  const auto good = request_for("main.iot.t");
  auto body = good.body;
  const std::string modify = "%2C%22MODIFY%22";
  body.replace(body.find(modify), modify.size(), "");
  auto call = call_of(good);
  call.body = body;
  const auto reply = tokens_.give(call, kStart);
  EXPECT_EQ(reply.status, 200);
  const auto status = tokens_.check(token_in(reply), "main.iot.t", kStart);
  EXPECT_EQ(status.error_code(), StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("Error Code: 4024"));
}

TEST_F(LocalTokens, UnityCatalogTakesPlainTokensAndStreamsDoNot) {
  const auto good = request_for("main.iot.t");
  auto call = call_of(good);
  call.body = "grant_type=client_credentials&scope=all-apis";
  const std::string plain = token_in(tokens_.give(call, kStart));
  ASSERT_NE(plain, "");
  EXPECT_EQ(tokens_.check_catalog("Bearer " + plain, kStart).status, 200);
  EXPECT_EQ(tokens_.check_catalog("Bearer " + plain, kStart + Millis(10'000)).status, 401);
  EXPECT_EQ(tokens_.check_catalog("Bearer " + give("main.iot.t"), kStart).status, 403);
  EXPECT_EQ(tokens_.check_catalog("", kStart).status, 401);
  EXPECT_EQ(check(plain, "main.iot.t"), StatusCode::PERMISSION_DENIED);
}

TEST_F(LocalTokens, ExpiringEndsAllThatWereGivenOut) {
  const std::string old = give("main.iot.t");
  EXPECT_TRUE(tokens_.expire_all());
  EXPECT_EQ(check(old, "main.iot.t"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(check(give("main.iot.t"), "main.iot.t"), StatusCode::OK);
  EXPECT_FALSE(Tokens({"fixed", {}, {}}).expire_all());
}

}  // namespace
}  // namespace penstock::local
