// The token request of the Zerobus service, in and out: which bytes to POST for a table, and what
// the answer means.
//
// Pure. A token is asked for one table: OAuth 2.0 client credentials with HTTP Basic, the Zerobus
// resource of the workspace, and authorization_details that name catalog, schema and table with the
// privileges that writing needs. Source of the protocol facts: the vendor's SDK (its token factory)
// and its authentication page. Client secrets and tokens never get into an Error.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "agent/base/result.h"

namespace penstock::zerobus {

// A service principal.
struct OAuthClient {
  std::string id;
  std::string secret;
};

struct HttpRequest {
  std::string url;
  std::string authorization;  // value of the header
  std::string body;           // a form
  bool get = false;           // GET, without a body
};

struct HttpReply {
  int status = 0;
  std::string body;
  std::optional<Millis> retry_after;
};

struct AccessToken {
  std::string value;
  // From when the request was sent; empty: the server did not say so in a usable way, and the token
  // is for the streams that wait for it now, not for later ones.
  std::optional<std::chrono::seconds> lifetime;
};

// The id of the workspace is the first label of the Zerobus endpoint's host, digits; kDenied for
// another host. For this machine, where only stand-ins listen, it is "0".
Result<std::string> workspace_id(std::string_view endpoint_host);

// `workspace_url`: https://host[:port], or http:// to this machine. kDenied, without any request,
// when the table has not three parts or the secret would go over a network in clear.
Result<HttpRequest> token_request(std::string_view workspace_url, std::string_view workspace_id,
                                  const OAuthClient& client, std::string_view table);

// kTransient: 5xx, 408. kThrottled: 429, with retry_after if the server gave one. kDenied: anything
// else that is no token; the text says what to check. `client` only serves to keep its secret out
// of what is quoted from the server.
Result<AccessToken> read_token(const HttpReply& reply, const OAuthClient& client);

}  // namespace penstock::zerobus
