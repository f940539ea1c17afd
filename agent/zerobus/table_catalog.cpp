#include "agent/zerobus/table_catalog.h"

#include <algorithm>
#include <utility>

namespace penstock::zerobus {
namespace {

constexpr size_t kMaxBodyBytes = size_t{8} << 20;
constexpr std::chrono::seconds kMargin{60};  // a token is not used in its last minute

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
  return catalog;
}

void TableCatalog::get(std::string table, Millis limit, Done done) {
  ask(std::move(table), false, read_clock().mono + limit, std::move(done));
}

void TableCatalog::ask(std::string table, bool fresh, MonoTime until, Done done) {
  with_token(fresh, until,
             [this, table = std::move(table), fresh, until,
              done = std::move(done)](Result<std::string> token) mutable {
               if (!token) return done(std::move(token));
               auto request = table_request(workspace_url_, table, *token);
               if (!request) return done(std::move(request).error());
               auto read = [this, table, fresh, until, used = *token,
                            done = std::move(done)](Result<HttpReply> reply) mutable {
                 if (!reply) return done(std::move(reply).error());
                 if (reply->status == 401 && !fresh)
                   return ask(std::move(table), true, until, std::move(done));
                 done(read_table_reply(*reply, table, used));
               };
               http_->post(*std::move(request), std::move(read), left_until(until));
             });
}

std::string TableCatalog::kept_token() {
  const std::lock_guard lock(mutex_);
  return read_clock().mono < token_until_ ? token_ : std::string();
}

void TableCatalog::with_token(bool fresh, MonoTime until,
                              std::function<void(Result<std::string>)> done) {
  if (credentials_.token) {
    auto token = [&] {
      const std::lock_guard lock(credentials_mutex_);
      return credentials_.token(fresh);
    }();
    return done(std::move(token));
  }
  if (auto token = fresh ? std::string() : kept_token(); !token.empty()) {
    return done(std::move(token));
  }
  auto client = [&] {
    const std::lock_guard lock(credentials_mutex_);
    return credentials_.client(fresh);
  }();
  if (!client) return done(std::move(client).error());
  auto request = catalog_token_request(workspace_url_, *client);
  if (!request) return done(std::move(request).error());
  const MonoTime sent = read_clock().mono;
  auto read = [this, sent, client = *std::move(client),
               done = std::move(done)](Result<HttpReply> reply) {
    auto token = reply ? read_token(*reply, client) : std::move(reply).error();
    if (!token) return done(std::move(token).error());
    {
      const std::lock_guard lock(mutex_);
      token_ = token->value;
      token_until_ = sent + token->lifetime.value_or(std::chrono::seconds(0)) - kMargin;
    }
    done(std::move(token->value));
  };
  http_->post(*std::move(request), std::move(read), left_until(until));
}

}  // namespace penstock::zerobus
