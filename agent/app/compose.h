// From the configuration to what each module is built with, and every mistake that only shows when
// the modules meet.
//
// Pure but for the file system's size behind spool_options. `penstock check` and the start of the
// agent share it, so that both find the same problems.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/codec/row_encoder.h"
#include "agent/config/config.h"
#include "agent/intake/intake.h"
#include "agent/lane/destination.h"
#include "agent/route/router.h"
#include "agent/spool/spool.h"

namespace penstock::app {

std::vector<route::RouteSpec> route_specs(const config::Config& config);
Result<route::Router> make_router(const config::Config& config);

// What the rows of a route are made of. kRejected naming the column.
Result<codec::EncoderSpec> encoder_spec(const config::Config& config, const config::Route& route);
// encoder_spec and whatever RowEncoder finds wrong with it. Rows are protobuf where the destination
// asks for it, or leaves the choice to us and the columns say all about the table: type and
// nullability of each.
Result<codec::RowEncoder> make_encoder(const config::Config& config, const config::Route& route);

// The same for a table as Unity Catalog describes it. kDenied when the route's columns do not go
// with it: a person has to act.
Result<codec::RowEncoder> make_encoder(const config::Config& config, const config::Route& route,
                                       const codec::TableSchema& table);

intake::Limits intake_limits(const config::Config& config);
std::vector<std::optional<Millis>> commit_deadlines(const config::Config& config);
// What the spool does with the lanes of a route at its limits.
spool::LanePolicy lane_policy(const config::Config& config, const config::Route& route);
spool::Options spool_options(const config::Config& config);
zerobus::SessionConfig session_config(const config::Destination& destination);
lane::BatchLimits batch_limits(const config::Destination& destination);

// Appends what is wrong with routes, columns and tables.
void check_composition(const config::Config& config, std::vector<config::Problem>& problems);

}  // namespace penstock::app
