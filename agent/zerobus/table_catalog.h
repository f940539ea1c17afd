// TableCatalog: descriptions of tables from Unity Catalog, for one destination. The driver around
// unity_catalog.h.
//
// get() from any thread, one table at a time or many; `done` is called once, at once or later on
// the HTTP client's thread, and not any more once the destructor has begun (never destroy it from
// `done`). A token is used until a minute before its end and then asked for anew; one that is
// refused is asked for anew once. All that one get() does, token and table, takes `limit` at most;
// kTransient then. Secrets never get into an Error.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "agent/base/clock.h"
#include "agent/zerobus/http_client.h"
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
  void with_token(bool fresh, MonoTime until, std::function<void(Result<std::string>)> done);
  void ask(std::string table, bool fresh, MonoTime until, Done done);
  std::string kept_token();

  const std::string workspace_url_;
  const Credentials credentials_;
  std::mutex credentials_mutex_;  // they are asked for on two threads
  std::mutex mutex_;
  std::string token_;
  MonoTime token_until_{};
  std::unique_ptr<HttpClient> http_;  // last: its thread uses the rest
};

}  // namespace penstock::zerobus
