#include "agent/zerobus/table_catalog.h"

#include <algorithm>
#include <utility>

namespace penstock::zerobus {
namespace {

constexpr size_t kMaxBodyBytes = size_t{8} << 20;
constexpr const char* kToken = "Unity Catalog";  // what it is for
constexpr Millis kWorthAnotherTry{1'000};

Millis left_until(MonoTime until) {
  return std::max(Millis(1), std::chrono::duration_cast<Millis>(until - read_clock().mono));
}

}  // namespace

Result<std::unique_ptr<TableCatalog>> TableCatalog::start(std::string workspace_url,
                                                          HttpOptions http,
                                                          Credentials credentials) {
  std::unique_ptr<TableCatalog> catalog(
      new TableCatalog(std::move(workspace_url), std::move(credentials)));
  http.max_body_bytes = kMaxBodyBytes;
  auto client = HttpClient::start(std::move(http));
  if (!client) return std::move(client).error();
  catalog->http_ = *std::move(client);
  if (catalog->credentials_.client) {
    auto* const self = catalog.get();
    catalog->tokens_ = std::make_unique<OAuthTokens>(
        *self->http_,
        [self](const OAuthClient& by, const std::string&) {
          return catalog_token_request(self->workspace_url_, by);
        },
        [self](bool fresh) {
          const std::lock_guard lock(self->credentials_mutex_);
          return self->credentials_.client(fresh);
        },
        Log::none());
  }
  return catalog;
}

void TableCatalog::get(std::string table, Millis limit, Done done) {
  ask(std::move(table), {}, read_clock().mono + limit, std::move(done));
}

void TableCatalog::ask(std::string table, const Refused& refused, MonoTime until, Done done) {
  with_token(refused, until,
             [this, table = std::move(table), last = refused.has_value(), until,
              done = std::move(done)](Result<std::string> token) {
               if (!token) return done(std::move(token));
               auto request = table_request(workspace_url_, table, *token);
               if (!request) return done(std::move(request).error());
               auto read = [this, table, last, until, done,
                            used = *token](Result<HttpReply> reply) {
                 if (!reply) return done(std::move(reply).error());
                 if (reply->status == 401 && !last) return ask(table, used, until, done);
                 done(read_table_reply(*reply, table, used));
               };
               http_->post(*std::move(request), std::move(read), left_until(until));
             });
}

// A token that others have had renewed meanwhile will do.
void TableCatalog::with_token(const Refused& refused, MonoTime until, Done done) {
  if (!tokens_) {
    auto token = [&] {
      const std::lock_guard lock(credentials_mutex_);
      return credentials_.token(refused.has_value());
    }();
    return done(std::move(token));
  }
  if (!refused) return shared_token(false, until, done);
  auto other = [this, refused, until, done = std::move(done)](Result<std::string> token) {
    if (!token || *token != *refused) return done(std::move(token));
    shared_token(true, until, done);
  };
  shared_token(false, until, other);
}

// What one request meets, or its own short time, is the trouble of all that waited for it. So each
// of them that has time asks once more, which is again one request.
void TableCatalog::shared_token(bool fresh, MonoTime until, const Done& done) {
  auto again = [this, until, done](Result<std::string> token) {
    const bool passes = !token && token.error().kind == ErrorKind::kTransient;
    if (!passes || until - read_clock().mono < kWorthAnotherTry) return done(std::move(token));
    tokens_->get(kToken, false, done, left_until(until));
  };
  tokens_->get(kToken, fresh, done, left_until(until), again);
}

}  // namespace penstock::zerobus
