// Addresses of services: `https://host:port`. Pure.
#pragma once

#include <string_view>

#include "agent/base/result.h"
#include "agent/config/config.h"

namespace penstock::config {

// kRejected with what is wrong, without repeating the text: "has no port after `:`".
Result<Endpoint> parse_endpoint(std::string_view text);

// localhost, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host);

}  // namespace penstock::config
