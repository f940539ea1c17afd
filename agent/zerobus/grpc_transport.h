// The gRPC transport with a clock of its owner's. Private to the transport and its tests; others
// use Transport::connect.
#pragma once

#include <memory>
#include <string_view>

#include "agent/base/log.h"
#include "agent/zerobus/grpc_channels.h"
#include "agent/zerobus/transport.h"

namespace penstock::zerobus {

// `clock` from any thread.
std::unique_ptr<Transport> grpc_transport(const Endpoint& endpoint, std::string_view user_agent,
                                          Log log, MonoClock clock);

}  // namespace penstock::zerobus
