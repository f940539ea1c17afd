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
  auto http = workspace_options(destination, user_agent);
  if (!http) return std::move(http).error();
  zerobus::OAuthSettings settings{destination.workspace_url, *std::move(workspace),
                                  *std::move(http)};
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

Result<std::unique_ptr<zerobus::Transport>> make_transport(const config::Destination& destination,
                                                           const std::string& user_agent,
                                                           const Log& log) {
  auto proxy = zerobus::proxy_for(destination.endpoint.host, destination.proxy,
                                  zerobus::ProxyUse::kStreams, config::system_environment().env);
  if (!proxy) return std::move(proxy).error();
  if (*proxy) log.info("streams go through the proxy {}", (*proxy)->address());
  const zerobus::Endpoint endpoint{destination.endpoint.host, destination.endpoint.port,
                                   destination.endpoint.tls(), destination.tls_ca.string(),
                                   *std::move(proxy)};
  return zerobus::Transport::connect(endpoint, user_agent, log);
}

}  // namespace

Result<zerobus::HttpOptions> workspace_options(const config::Destination& destination,
                                               const std::string& user_agent) {
  const auto workspace = zerobus::parse_endpoint(destination.workspace_url);
  if (!workspace) return Error(workspace.error()).in("workspace_url");
  auto proxy = zerobus::proxy_for(workspace->host, destination.proxy, zerobus::ProxyUse::kRequests,
                                  config::system_environment().env);
  if (!proxy) return std::move(proxy).error();
  zerobus::HttpOptions options;
  options.ca_file = destination.tls_ca.string();
  options.user_agent = user_agent;
  options.proxy = *std::move(proxy);
  return options;
}

std::map<std::string, std::shared_ptr<lane::Destination>> make_destinations(
    const config::Config& config, const std::string& version, const Log& log) {
  std::map<std::string, std::shared_ptr<lane::Destination>> made;
  for (const auto& one : config.destinations) {
    const auto destination_log = log.named("destination/" + one.name);
    const std::string user_agent = "penstock/" + version;
    auto transport = make_transport(one, user_agent, destination_log);
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
    if (one.max_streams > 0)
      destination->turns = std::make_shared<lane::StreamTurns>(one.max_streams);
    made.emplace(one.name, std::move(destination));
  }
  return made;
}

}  // namespace penstock::app
