// SecretSource: keeps a secret; reads its source again when it was refused or missing.
//
// One thread at a time.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "agent/config/config.h"
#include "agent/zerobus/oauth_request.h"

namespace penstock::app {

class SecretSource {
 public:
  SecretSource(config::Secret secret, config::Agent agent)
      : secret_(std::move(secret)), agent_(std::move(agent)) {}

  // kDenied, naming where it should come from, when there is none.
  Result<std::string> get(bool fresh);

 private:
  config::Secret secret_;
  config::Agent agent_;
};

// The service principal of a destination.
std::function<Result<zerobus::OAuthClient>(bool fresh)> oauth_client(
    const config::Destination& destination, const config::Agent& agent);

}  // namespace penstock::app
