#include "agent/app/compose.h"

#include <algorithm>
#include <optional>
#include <system_error>

#include "agent/codec/table_fit.h"
#include "agent/route/topic_pattern.h"
#include "agent/zerobus/oauth_request.h"
#include "agent/zerobus/proxy.h"

namespace penstock::app {
namespace {

Result<codec::ColumnSpec> column_spec(const config::Column& column) {
  codec::ColumnSpec spec;
  spec.name = column.name;
  auto from = Expression::parse(column.from);
  if (!from) return std::move(from.error()).in("column " + column.name);
  spec.from = *std::move(from);
  auto cast = codec::parse_cast(column.as);
  if (!cast) return std::move(cast.error()).in("column " + column.name);
  spec.cast = *cast;
  auto unit = codec::parse_time_unit(column.unit);
  if (!unit) return std::move(unit.error()).in("column " + column.name);
  spec.unit = *unit;
  spec.on_error =
      column.on_error == config::OnError::kNull ? codec::OnError::kNull : codec::OnError::kReject;
  spec.default_json = column.default_json;
  spec.nullable = column.nullable;
  return spec;
}

codec::UnknownFields native(config::UnknownFields unknown) {
  switch (unknown) {
    case config::UnknownFields::kReject:
      return codec::UnknownFields::kReject;
    case config::UnknownFields::kIgnore:
      return codec::UnknownFields::kIgnore;
    case config::UnknownFields::kRescue:
      return codec::UnknownFields::kRescue;
  }
  return codec::UnknownFields::kReject;
}

// A protobuf row names each column NULL or NOT NULL, and the service refuses the stream when one is
// not as in the table. JSON rows go to either, so what is only assumed is not built upon.
bool nullability_known(const config::Route& route) {
  return std::all_of(route.columns.begin(), route.columns.end(),
                     [](const config::Column& column) { return column.nullable_stated; });
}

// The table as the route's columns describe it, when rows are to be protobuf; none: rows are JSON,
// because that is asked for, or because something of the table is not known and any encoding will
// do.
Result<std::optional<codec::TableSchema>> known_table(const config::Config& config,
                                                      const config::Route& route,
                                                      const codec::EncoderSpec& spec) {
  using Table = std::optional<codec::TableSchema>;
  const auto* destination = config.destination(route.destination);
  if (!destination || destination->encoding == config::Encoding::kJson ||
      destination->schema != config::Schema::kColumns) {
    return Table();
  }
  if (destination->encoding == config::Encoding::kAuto && !nullability_known(route)) return Table();
  auto table = codec::schema_of_columns(spec.columns);
  if (table) return Table(*std::move(table));
  if (destination->encoding == config::Encoding::kAuto) return Table();
  return std::move(table.error());
}

// Whether the source of `input` comes again with what was not taken.
bool can_wait(const config::Input& input) {
  if (input.plugin == "serial") return false;
  if (input.plugin != "udp") return true;
  const auto* ack_bytes = input.options.find("ack_bytes");
  return ack_bytes && ack_bytes->text != "0";
}

// What a route does when it does not say: MQTT can wait, and UDP whose senders are answered; serial
// lines and other UDP lose what is not taken, so the newest of those is worth more than the oldest.
config::OverflowPolicy default_overflow(const config::Config& config, const config::Route& route) {
  bool one_can_wait = false;
  bool any = false;
  for (const auto& input : config.inputs) {
    if (!route.input.empty() && input.id != route.input) continue;
    any = true;
    one_can_wait = one_can_wait || can_wait(input);
  }
  return any && !one_can_wait ? config::OverflowPolicy::kDropOldest
                              : config::OverflowPolicy::kBlock;
}

spool::OverflowPolicy native(config::OverflowPolicy policy) {
  switch (policy) {
    case config::OverflowPolicy::kBlock:
      return spool::OverflowPolicy::kBlock;
    case config::OverflowPolicy::kDropOldest:
      return spool::OverflowPolicy::kDropOldest;
    case config::OverflowPolicy::kDropNewest:
      return spool::OverflowPolicy::kDropNewest;
  }
  return spool::OverflowPolicy::kBlock;
}

uint64_t quarantine_bytes(const config::Quota& quota, uint64_t max_size_bytes) {
  if (quota.bytes) return *quota.bytes;
  return static_cast<uint64_t>(static_cast<double>(max_size_bytes) * quota.percent.value_or(5) /
                               100);
}

// A quarter of memory_limit for what waits for its commit; the tail and the lanes have the rest.
uint64_t queue_share(const config::Config& config) { return config.memory_limit_bytes / 4; }

}  // namespace

std::vector<route::RouteSpec> route_specs(const config::Config& config) {
  std::vector<route::RouteSpec> specs;
  for (const auto& route : config.routes) {
    specs.push_back(
        {route.name, route.topic, route.input, route.table, static_cast<size_t>(route.max_tables)});
  }
  return specs;
}

Result<route::Router> make_router(const config::Config& config) {
  return route::Router::compile(route_specs(config), config.agent.labels, config.agent.id);
}

Result<codec::EncoderSpec> encoder_spec(const config::Config& config, const config::Route& route) {
  codec::EncoderSpec spec;
  spec.format = route.format == config::Format::kRaw ? codec::PayloadFormat::kRaw
                                                     : codec::PayloadFormat::kJson;
  spec.labels = config.agent.labels;
  spec.agent_id = config.agent.id;
  spec.unknown_fields = native(route.unknown_fields);
  auto pattern = route::TopicPattern::parse(route.topic);
  if (!pattern) return std::move(pattern.error()).in("route " + route.name);
  for (const auto& [name, index] : pattern->named_levels()) spec.topic_levels.emplace(name, index);
  for (const auto& column : route.columns) {
    auto one = column_spec(column);
    if (!one) return std::move(one.error()).in("route " + route.name);
    spec.columns.push_back(*std::move(one));
  }
  return spec;
}

Result<codec::RowEncoder> make_encoder(const config::Config& config, const config::Route& route) {
  auto spec = encoder_spec(config, route);
  if (!spec) return std::move(spec.error());
  auto table = known_table(config, route, *spec);
  if (!table) return std::move(table.error()).in("route " + route.name);
  auto encoder = *table ? codec::RowEncoder::make(*std::move(spec), **table, codec::RowForm::kProto)
                        : codec::RowEncoder::make(*std::move(spec));
  if (!encoder) return std::move(encoder.error()).in("route " + route.name);
  return encoder;
}

Result<codec::RowEncoder> make_encoder(const config::Config& config, const config::Route& route,
                                       const codec::TableSchema& table) {
  auto spec = encoder_spec(config, route);
  if (!spec) return std::move(spec.error());
  const auto* destination = config.destination(route.destination);
  const bool json = destination && destination->encoding == config::Encoding::kJson;
  auto encoder = codec::RowEncoder::make(*std::move(spec), table,
                                         json ? codec::RowForm::kJson : codec::RowForm::kProto);
  if (encoder) return encoder;
  Error error = std::move(encoder.error()).in("route " + route.name);
  error.kind = ErrorKind::kDenied;
  return error;
}

intake::Limits intake_limits(const config::Config& config) {
  intake::Limits limits;
  limits.max_emit_bytes = queue_share(config);
  limits.max_record_bytes = std::min<size_t>(limits.max_record_bytes, queue_share(config));
  limits.commit_interval = config.spool.commit_interval;
  limits.drop_unrouted = config.unrouted == config::Unrouted::kDrop;
  return limits;
}

std::vector<std::optional<Millis>> commit_deadlines(const config::Config& config) {
  std::vector<std::optional<Millis>> deadlines;
  for (const auto& route : config.routes) deadlines.push_back(route.commit_interval);
  return deadlines;
}

spool::LanePolicy lane_policy(const config::Config& config, const config::Route& route) {
  spool::LanePolicy policy;
  policy.overflow = native(route.overflow.policy.value_or(default_overflow(config, route)));
  policy.max_share_percent = route.overflow.max_share_percent;
  policy.max_age = route.max_age;
  return policy;
}

spool::Options spool_options(const config::Config& config) {
  constexpr uint64_t kDefaultMax = uint64_t{2} << 30;
  constexpr uint64_t kDefaultMinFree = uint64_t{512} << 20;
  std::error_code error;
  std::filesystem::create_directories(config.spool.dir, error);
  const auto space = std::filesystem::space(config.spool.dir, error);
  const uint64_t capacity = error ? 4 * kDefaultMax : space.capacity;
  spool::Options options;
  options.dir = config.spool.dir;
  options.agent_id = config.agent.id;
  options.max_size_bytes =
      config.spool.max_size_bytes.value_or(std::min(kDefaultMax, capacity / 4));
  options.min_free_bytes = config.spool.min_free_bytes.value_or(
      std::min(std::max(kDefaultMinFree, capacity / 10), capacity / 4));
  options.quarantine_bytes =
      std::max<uint64_t>(1, quarantine_bytes(config.spool.quarantine, options.max_size_bytes));
  for (const auto& route : config.routes) options.policies[route.name] = lane_policy(config, route);
  options.queue_bytes = queue_share(config);
  options.tail_bytes = std::min<size_t>(options.tail_bytes, config.memory_limit_bytes / 6);
  options.allow_volatile = config.spool.allow_volatile;
  return options;
}

zerobus::SessionConfig session_config(const config::Destination& destination) {
  zerobus::SessionConfig session;
  session.idle_close = destination.stream_idle_close;
  session.in_flight_bytes = destination.in_flight_bytes;
  session.batch_bytes = destination.batch.max_size_bytes;
  session.retry.min = destination.backoff.min;
  session.retry.max = destination.backoff.max;
  session.retry.held = destination.backoff.held;
  return session;
}

lane::BatchLimits batch_limits(const config::Destination& destination) {
  lane::BatchLimits limits;
  limits.max_bytes = destination.batch.max_size_bytes;
  limits.max_rows = static_cast<uint32_t>(destination.batch.max_records);
  limits.max_delay = destination.batch.max_delay;
  return limits;
}

void check_composition(const config::Config& config, std::vector<config::Problem>& problems) {
  for (const auto& destination : config.destinations) {
    if (!destination.proxy.empty() && destination.proxy != "none") {
      if (auto proxy = zerobus::parse_proxy(destination.proxy); !proxy) {
        problems.push_back({destination.at,
                            "destinations." + destination.name + ".proxy: " + proxy.error().what,
                            "", false});
      }
    }
    if (!destination.auth.client_id.configured()) continue;
    if (auto id = zerobus::workspace_id(destination.endpoint.host); !id) {
      problems.push_back(
          {destination.at, "destinations." + destination.name + ": " + id.error().what, "", false});
    }
  }
  bool columns_ok = true;
  for (const auto& route : config.routes) {
    if (auto encoder = make_encoder(config, route); !encoder) {
      problems.push_back({route.at, encoder.error().what, "", false});
      columns_ok = false;
    }
  }
  if (!columns_ok) return;
  if (auto router = make_router(config); !router) {
    problems.push_back({config.routes.empty() ? config::Position{} : config.routes.front().at,
                        router.error().what, "", false});
  }
}

}  // namespace penstock::app
