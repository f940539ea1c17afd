// TableCatalog: descriptions of tables from Unity Catalog, for one destination. The driver around
// unity_catalog.h.
//
// get() from any thread, one table at a time or many; `done` is called once, at once or later on
// the HTTP client's thread, and not any more once the destructor has begun (never destroy it from
// `done`). All tables share one token and one request for the next: whoever needs it meanwhile
// waits for that one and gets what it brings, an error too. After trouble that passes those who
// waited ask once more if they have a second left, which is one request for all again. A token that
// is refused is asked for anew once. All that one get() does, token and table, takes `limit` at
// most, but for a request for the token that another get() has begun, which takes what that one
// has; kTransient then. Secrets never get into an Error.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/zerobus/http_client.h"
#include "agent/zerobus/oauth_tokens.h"
#include "agent/zerobus/unity_catalog.h"

namespace penstock::zerobus {

class TableCatalog {
 public:
  // Either a service principal or a token of a person, by which of the two is set. `fresh`: read
  // it again, the last one was not accepted.
  struct Credentials {
    std::function<Result<OAuthClient>(bool fresh)> client;
    std::function<Result<std::string>(bool fresh)> token;
  };
  // The body that codec::parse_unity_table reads.
  using Done = std::function<void(Result<std::string>)>;

  static Result<std::unique_ptr<TableCatalog>> start(std::string workspace_url, HttpOptions http,
                                                     Credentials credentials);

  void get(std::string table, Millis limit, Done done);

 private:
  TableCatalog(std::string workspace_url, Credentials credentials)
      : workspace_url_(std::move(workspace_url)), credentials_(std::move(credentials)) {}
  using Refused = std::optional<std::string>;  // the token that was
  void with_token(const Refused& refused, MonoTime until, Done done);
  void shared_token(bool fresh, MonoTime until, const Done& done);
  void ask(std::string table, const Refused& refused, MonoTime until, Done done);

  const std::string workspace_url_;
  const Credentials credentials_;
  std::mutex credentials_mutex_;         // they are asked for on two threads
  std::unique_ptr<OAuthTokens> tokens_;  // null: a person's
  std::unique_ptr<HttpClient> http_;     // last: its thread uses the rest
};

}  // namespace penstock::zerobus
