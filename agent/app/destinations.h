// The configured destinations as the lanes use them: transport, token source, limits.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/base/log.h"
#include "agent/config/config.h"
#include "agent/lane/destination.h"
#include "agent/zerobus/http_client.h"

namespace penstock::app {

// By name. One that cannot be used at all (the environment's proxy is none, say) is left out and
// that is logged; one that only lacks its token or its CA file is there and says so when a lane
// asks.
std::map<std::string, std::shared_ptr<lane::Destination>> make_destinations(
    const config::Config& config, const std::string& version, const Log& log);

// How the destination's workspace is reached. kDenied: its proxy cannot be used.
Result<zerobus::HttpOptions> workspace_options(const config::Destination& destination,
                                               const std::string& user_agent);

}  // namespace penstock::app
