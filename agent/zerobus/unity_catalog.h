// Asking Unity Catalog what a table looks like: which bytes to send, and what the answer means.
//
// Pure. Two requests: a token for the REST interface (a Zerobus token is refused there), then
// GET /api/2.1/unity-catalog/tables/NAME. Source: the vendor's public API documentation and SDK.
// Secrets and tokens never get into an Error. What the answer says about columns is read by
// codec/unity_table.h.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/result.h"
#include "agent/zerobus/oauth_request.h"

namespace penstock::zerobus {

// `workspace_url` as in token_request. kDenied as there.
Result<HttpRequest> catalog_token_request(std::string_view workspace_url,
                                          const OAuthClient& client);

// kDenied: no workspace_url, or one that would send the token in clear over a network; a token that
// no header can carry.
Result<HttpRequest> table_request(std::string_view workspace_url, std::string_view table,
                                  std::string_view token);

// The body that describes the table. kTransient: 5xx, 408. kThrottled: 429. kDenied: anything else,
// saying what to check, and what the catalog said: it names the grant that is missing. `token`: was
// sent, and only serves to keep it out of what is quoted.
Result<std::string> read_table_reply(const HttpReply& reply, std::string_view table,
                                     std::string_view token);

}  // namespace penstock::zerobus
