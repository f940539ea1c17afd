// Tokens: which access tokens the server gives out and accepts.
//
// Three ways, by the options: any bearer that is not empty; one fixed token; or a client of an
// identity service, whose request must be exactly the documented one, and whose tokens end and
// serve one table. Thread-safe; times come from the caller.
//
// Protocol facts (the service's OAuth documentation and its public clients): POST /oidc/v1/token
// with HTTP Basic and a form; `authorization_details` names catalog, schema and table with the
// privileges USE CATALOG, USE SCHEMA, SELECT and MODIFY. A token without them is given out, but a
// stream is then refused with error 4024. Unity Catalog takes only tokens without
// authorization_details.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <grpcpp/support/status.h>

#include "agent/base/clock.h"
#include "tests/zerobus_local/http_reply.h"

namespace penstock::local {

struct TokenRules {
  std::string fixed;      // the only token; empty: see below
  std::string client_id;  // empty: any token
  std::string client_secret;
  Millis lifetime{3'600'000};
};

class Tokens {
 public:
  explicit Tokens(TokenRules rules) : rules_(std::move(rules)) {}

  // The answer to POST /oidc/v1/token.
  HttpReply give(const HttpCall& call, MonoTime now);

  // For a stream of `table` that shows `bearer`: OK, UNAUTHENTICATED or PERMISSION_DENIED.
  grpc::Status check(std::string_view bearer, std::string_view table, MonoTime now) const;
  // For a call to Unity Catalog: OK, or 401/403 with the reason.
  HttpReply check_catalog(std::string_view authorization, MonoTime now) const;

  // Every token given out so far is over. False when this server gives out none that could.
  bool expire_all();

 private:
  struct Given {
    std::string table;  // lower case; empty: not for streams
    bool may_write = false;
    MonoTime ends;
  };

  const TokenRules rules_;
  mutable std::mutex mutex_;
  std::map<std::string, Given, std::less<>> given_;
};

// What a client asks a token for; or why it is refused, as OAuth says it. Pure.
struct TokenWish {
  std::string error;  // "invalid_request", ...; empty: fine
  std::string description;
  std::string table;  // lower case; empty: none, for Unity Catalog
  bool may_write = false;
};
TokenWish read_token_request(const HttpCall& call);

// The token of "Bearer TOKEN", or nothing. The scheme is matched without regard to case.
std::string_view bearer_of(std::string_view authorization);

}  // namespace penstock::local
