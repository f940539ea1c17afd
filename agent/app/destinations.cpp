#include "agent/app/destinations.h"

#include "agent/app/compose.h"
#include "agent/app/secret_source.h"
#include "agent/zerobus/oauth_tokens.h"

namespace penstock::app {
namespace {

using Bearer = decltype(lane::Destination::bearer);

Bearer static_token(const config::Destination& destination, const config::Agent& agent) {
  const auto source = std::make_shared<SecretSource>(destination.auth.token, agent);
  return [source](const std::string&, bool fresh, const lane::Destination::Token& done) {
    done(source->get(fresh));
  };
}

Result<Bearer> oauth(const config::Destination& destination, const config::Agent& agent,
                     const std::string& user_agent, const Log& log) {
  auto workspace = zerobus::workspace_id(destination.endpoint.host);
  if (!workspace) return std::move(workspace).error();
  zerobus::OAuthSettings settings{destination.workspace_url, *std::move(workspace), {}};
  settings.http.ca_file = destination.tls_ca.string();
  settings.http.user_agent = user_agent;
  auto made =
      zerobus::OAuthTokens::start(std::move(settings), oauth_client(destination, agent), log);
  if (!made) return std::move(made).error();
  const std::shared_ptr<zerobus::OAuthTokens> tokens = *std::move(made);
  return Bearer(
      [tokens](const std::string& table, bool fresh, const lane::Destination::Token& done) {
        tokens->get(table, fresh, done);
      });
}

Result<Bearer> make_bearer(const config::Destination& destination, const config::Agent& agent,
                           const std::string& user_agent, const Log& log) {
  if (destination.auth.client_id.configured()) return oauth(destination, agent, user_agent, log);
  return static_token(destination, agent);
}

}  // namespace

std::map<std::string, std::shared_ptr<lane::Destination>> make_destinations(
    const config::Config& config, const std::string& version, const Log& log) {
  std::map<std::string, std::shared_ptr<lane::Destination>> made;
  for (const auto& one : config.destinations) {
    zerobus::Endpoint endpoint{one.endpoint.host, one.endpoint.port, one.endpoint.tls(),
                               one.tls_ca.string()};
    const auto destination_log = log.named("destination/" + one.name);
    const std::string user_agent = "penstock/" + version;
    auto transport = zerobus::Transport::connect(endpoint, user_agent, destination_log);
    auto bearer = make_bearer(one, config.agent, user_agent, destination_log);
    if (!transport || !bearer) {
      destination_log.error("it cannot be used, its records stay in the spool: {}",
                            (transport ? bearer.error() : transport.error()).what);
      continue;
    }
    auto destination = std::make_shared<lane::Destination>();
    destination->name = one.name;
    destination->transport = *std::move(transport);
    destination->bearer = *std::move(bearer);
    destination->session = session_config(one);
    destination->batch = batch_limits(one);
    destination->max_rows_per_s = one.max_rows_per_s;
    made.emplace(one.name, std::move(destination));
  }
  return made;
}

}  // namespace penstock::app
