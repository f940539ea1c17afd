// OAuthTokens: access tokens of one destination, by table. The driver around TokenCache.
//
// get() is called on one thread at a time (the agent thread); `done` is called once, at once from
// within get() or later on the HTTP client's thread, and not any more once the destructor has begun
// (never destroy it from `done`). Secrets come from `client`, on the thread of get(): kept until
// the service does not accept them, then asked for again. They never get into a log or an Error.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
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

  static Result<std::unique_ptr<OAuthTokens>> start(OAuthSettings settings, Client client, Log log);

  // A token for streams into `table`; `fresh` as in TokenCache::ask. Errors are those of
  // read_token, token_request and HttpClient.
  void get(const std::string& table, bool fresh, const Done& done);

 private:
  OAuthTokens(OAuthSettings settings, Client client, Log log);
  void fetch(const std::string& table, bool fresh);
  void complete(const std::string& table, const Result<AccessToken>& result, MonoTime sent);
  void note(const std::string& table, const Result<AccessToken>& result, bool served);

  const OAuthSettings settings_;
  const Client client_;
  const Log log_;
  std::atomic<bool> refused_{false};  // the secrets were, since they were last read
  std::mutex mutex_;
  TokenCache cache_;
  std::map<std::string, std::vector<Done>> waiting_;
  std::set<std::string> troubled_;    // tables whose refresh fails, as logged
  std::unique_ptr<HttpClient> http_;  // last: its thread uses the rest
};

}  // namespace penstock::zerobus
