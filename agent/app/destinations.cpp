#include "agent/app/destinations.h"

#include "agent/app/compose.h"

namespace penstock::app {
namespace {

// Keeps the token; reads its source again when it was refused or missing.
class TokenSource {
 public:
  TokenSource(config::Secret secret, config::Agent agent)
      : secret_(std::move(secret)), agent_(std::move(agent)) {}

  Result<std::string> get(bool fresh) {
    if (fresh || !secret_.available || !secret_.file.empty()) {
      secret_ = config::reread(secret_, agent_, config::system_environment());
    }
    if (!secret_.available || secret_.value.empty()) {
      return Error{ErrorKind::kDenied,
                   fmt::format("there is no access token: {} is missing or empty", secret_.source),
                   {}};
    }
    return secret_.value;
  }

 private:
  config::Secret secret_;
  config::Agent agent_;
};

}  // namespace

std::map<std::string, std::shared_ptr<lane::Destination>> make_destinations(
    const config::Config& config, const std::string& version, const Log& log) {
  std::map<std::string, std::shared_ptr<lane::Destination>> made;
  for (const auto& one : config.destinations) {
    zerobus::Endpoint endpoint{one.endpoint.host, one.endpoint.port, one.endpoint.tls(),
                               one.tls_ca.string()};
    const auto destination_log = log.named("destination/" + one.name);
    auto transport = zerobus::Transport::connect(endpoint, "penstock/" + version, destination_log);
    if (!transport) {
      destination_log.error("it cannot be used, its records stay in the spool: {}",
                            transport.error().what);
      continue;
    }
    auto destination = std::make_shared<lane::Destination>();
    destination->name = one.name;
    destination->transport = *std::move(transport);
    destination->bearer = [token = std::make_shared<TokenSource>(one.auth.token, config.agent)](
                              bool fresh) { return token->get(fresh); };
    destination->session = session_config(one);
    destination->batch = batch_limits(one);
    destination->max_rows_per_s = one.max_rows_per_s;
    made.emplace(one.name, std::move(destination));
  }
  return made;
}

}  // namespace penstock::app
