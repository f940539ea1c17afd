#include "agent/app/secret_source.h"

#include <memory>

#include "agent/base/log.h"
#include "agent/config/reader.h"

namespace penstock::app {

Result<std::string> SecretSource::get(bool fresh) {
  if (fresh || !secret_.available || !secret_.file.empty()) {
    secret_ = config::reread(secret_, agent_, config::system_environment());
  }
  if (!secret_.available || secret_.value.empty()) {
    const auto hint = config::missing_hint(secret_.source, config::system_environment());
    return Error{
        ErrorKind::kDenied,
        fmt::format("there are no credentials: {} is missing or empty ({})", secret_.source, hint),
        {}};
  }
  return secret_.value;
}

std::function<Result<zerobus::OAuthClient>(bool fresh)> oauth_client(
    const config::Destination& destination, const config::Agent& agent) {
  const auto id = std::make_shared<SecretSource>(destination.auth.client_id, agent);
  const auto secret = std::make_shared<SecretSource>(destination.auth.client_secret, agent);
  return [id, secret](bool fresh) -> Result<zerobus::OAuthClient> {
    auto first = id->get(fresh);
    auto second = secret->get(fresh);
    if (!first) return std::move(first).error();
    if (!second) return std::move(second).error();
    return zerobus::OAuthClient{*std::move(first), *std::move(second)};
  };
}

}  // namespace penstock::app
