// The sections of the configuration: each function reads its keys from the reader of the whole file
// into typed values.
//
// Problems go to the reader's context. Called in this order, because later sections refer to
// earlier ones.
#pragma once

#include "agent/config/config.h"
#include "agent/config/reader.h"

namespace penstock::config {

Agent read_agent(Reader& root);
Spool read_spool(Reader& root);
std::vector<Destination> read_destinations(Reader& root);
std::vector<Input> read_inputs(Reader& root);
// Uses config.destinations and config.inputs.
std::vector<Route> read_routes(Reader& root, const Config& config);

}  // namespace penstock::config
