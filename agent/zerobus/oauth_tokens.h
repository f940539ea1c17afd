// OAuthTokens: access tokens of one destination, by table. The driver around TokenCache.
//
// get() from any thread, if `client` may be called from any; `done` is called once, at once from
// within get() or later on the HTTP client's thread, and not any more once that client's destructor
// has begun (never destroy it from `done`). Whoever asks while a request for the same token is
// under way waits for that one. Secrets come from `client`, on the thread of get(): kept until the
// service does not accept them, then asked for again. They never get into a log or an Error.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/base/log.h"
#include "agent/zerobus/http_client.h"
#include "agent/zerobus/token_cache.h"

namespace penstock::zerobus {

struct OAuthSettings {
  std::string workspace_url;
  std::string workspace_id;
  HttpOptions http;
};

class OAuthTokens {
 public:
  // `fresh`: read them again, the ones given last were not accepted.
  using Client = std::function<Result<OAuthClient>(bool fresh)>;
  using Done = std::function<void(Result<std::string>)>;
  using Request = std::function<Result<HttpRequest>(const OAuthClient&, const std::string& table)>;

  static Result<std::unique_ptr<OAuthTokens>> start(OAuthSettings settings, Client client, Log log);
  // Tokens that `request` asks for, over an HTTP client of the owner's, which ends before this.
  OAuthTokens(HttpClient& http, Request request, Client client, Log log);

  // A token for streams into `table`, or whatever it names to `request`; `fresh` as in
  // TokenCache::ask; `timeout` of the HTTP request, if it takes one. `joined`, if given, is
  // called instead of `done` by who waited for a request that another had begun. Errors are those
  // of read_token, token_request and HttpClient.
  void get(const std::string& table, bool fresh, const Done& done,
           std::optional<Millis> timeout = {}, const Done& joined = {});

 private:
  void fetch(const std::string& table, bool fresh, std::optional<Millis> timeout);
  void complete(const std::string& table, const Result<AccessToken>& result, MonoTime sent);
  void note(const std::string& table, const Result<AccessToken>& result, bool served);

  HttpClient& http_;
  const Request request_;
  const Client client_;
  const Log log_;
  std::atomic<bool> refused_{false};  // the secrets were, since they were last read
  std::mutex mutex_;
  TokenCache cache_;
  std::map<std::string, std::vector<Done>> waiting_;
  std::set<std::string> troubled_;        // tables whose refresh fails, as logged
  std::unique_ptr<HttpClient> own_http_;  // last: its thread uses the rest
};

}  // namespace penstock::zerobus
