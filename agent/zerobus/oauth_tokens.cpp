#include "agent/zerobus/oauth_tokens.h"

#include <utility>

namespace penstock::zerobus {

OAuthTokens::OAuthTokens(HttpClient& http, Request request, Client client, Log log)
    : http_(http), request_(std::move(request)), client_(std::move(client)), log_(std::move(log)) {}

Result<std::unique_ptr<OAuthTokens>> OAuthTokens::start(OAuthSettings settings, Client client,
                                                        Log log) {
  auto http = HttpClient::start(std::move(settings.http));
  if (!http) return std::move(http).error();
  auto request = [url = std::move(settings.workspace_url), id = std::move(settings.workspace_id)](
                     const OAuthClient& by, const std::string& table) {
    return token_request(url, id, by, table);
  };
  auto tokens =
      std::make_unique<OAuthTokens>(**http, std::move(request), std::move(client), std::move(log));
  tokens->own_http_ = *std::move(http);
  return tokens;
}

void OAuthTokens::get(const std::string& table, bool fresh, const Done& done,
                      std::optional<Millis> timeout, const Done& joined) {
  TokenCache::Step step;
  {
    const std::lock_guard lock(mutex_);
    step = cache_.ask(table, fresh, read_clock().mono);
    if (!step.answer) waiting_[table].push_back(step.fetch || !joined ? done : joined);
  }
  if (step.answer) done(*std::move(step.answer));
  if (step.fetch) fetch(table, fresh, timeout);
}

void OAuthTokens::fetch(const std::string& table, bool fresh, std::optional<Millis> timeout) {
  const MonoTime sent = read_clock().mono;
  const bool reread = refused_.exchange(false) || fresh;
  const auto client = client_(reread);
  if (!client) return complete(table, client.error(), sent);
  auto request = request_(*client, table);
  if (!request) return complete(table, std::move(request).error(), sent);
  auto read = [this, table, sent, client = *client](Result<HttpReply> reply) {
    complete(table, reply ? read_token(*reply, client) : std::move(reply).error(), sent);
  };
  http_.post(*std::move(request), std::move(read), timeout);
}

void OAuthTokens::complete(const std::string& table, const Result<AccessToken>& result,
                           MonoTime sent) {
  Result<AccessToken> named = result;
  if (!named) named = std::move(named).error().in("no access token for " + table);
  if (!named && named.error().kind == ErrorKind::kDenied) refused_ = true;
  std::vector<Done> waiting;
  Result<std::string> answer = std::string();
  {
    const std::lock_guard lock(mutex_);
    answer = cache_.fetched(table, named, sent, read_clock().mono);
    waiting.swap(waiting_[table]);
    waiting_.erase(table);
    note(table, named, answer.has_value());
  }
  for (const auto& done : waiting) done(answer);
}

// What nobody who waits would report: a refresh that fails while the old token still serves.
void OAuthTokens::note(const std::string& table, const Result<AccessToken>& result, bool served) {
  if (result) {
    if (troubled_.erase(table) > 0) log_.info("there is a new access token for {}", table);
    return;
  }
  if (!served || !troubled_.insert(table).second) return;
  log_.warning("{}; the one in use is still valid, trying again", result.error().what);
}

}  // namespace penstock::zerobus
