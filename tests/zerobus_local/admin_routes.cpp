#include "tests/zerobus_local/admin_routes.h"

#include <utility>

#include "tests/zerobus_local/admin_orders.h"
#include "tests/zerobus_local/scalars.h"
#include "tests/zerobus_local/workspace.h"

namespace penstock::local {
namespace {

constexpr std::string_view kTokenPath = "/oidc/v1/token";
constexpr std::string_view kTablesPath = "/api/2.1/unity-catalog/tables/";

void append_stream(const StreamInfo& stream, std::string& out) {
  out += "{\"id\":";
  append_json_string(stream.id, out);
  out += ",\"table\":";
  append_json_string(stream.table, out);
  out += ",\"record_type\":\"" + stream.record_type + "\"";
  out += ",\"received\":" + std::to_string(stream.received);
  out += ",\"acked\":" + std::to_string(stream.acked);
  out += ",\"records\":" + std::to_string(stream.records);
  out += std::string(",\"ending\":") + (stream.ending ? "true" : "false") + "}";
}

HttpReply state(const AdminParts& parts) {
  std::string streams, tables;
  for (const auto& stream : parts.registry.streams()) {
    if (!streams.empty()) streams += ',';
    append_stream(stream->info(), streams);
  }
  auto tallies = parts.registry.tallies();
  const auto rows = parts.store.rows();
  for (const auto& [name, count] : rows) {
    const auto& tally = tallies[name];
    if (!tables.empty()) tables += ',';
    append_json_string(name, tables);
    tables += ":{\"rows\":" + std::to_string(count);
    tables += ",\"streams\":" + std::to_string(tally.streams);
    tables += ",\"received_records\":" + std::to_string(tally.received_records);
    tables += ",\"refused_requests\":" + std::to_string(tally.refused_requests) + "}";
  }
  const auto up = std::chrono::duration_cast<Millis>(read_clock().mono - parts.started);
  return {200, "{\"streams\":[" + streams + "],\"tables\":{" + tables +
                   "},\"faults\":" + parts.faults.to_json() + ",\"store\":\"" + parts.store_name +
                   "\",\"uptime_ms\":" + std::to_string(up.count()) + "}"};
}

HttpReply help() {
  std::string calls = "\"GET /state\",\"POST /oidc/v1/token\"";
  calls += ",\"GET /api/2.1/unity-catalog/tables/NAME\"";
  for (const auto& route : order_routes()) {
    calls += ',';
    append_json_string(
        std::string(route.method) + " " + std::string(route.path) + std::string(route.arguments),
        calls);
  }
  return {200, "{\"calls\":[" + calls + "]}"};
}

HttpReply wrong_method(const std::string& path) {
  return http_error(405, "wrong method for " + path + "; GET / lists the calls");
}

}  // namespace

HttpReply answer(const AdminParts& parts, const HttpCall& call) {
  const Target split = split_target(call.target);
  const std::string& path = split.path;
  const bool get = call.method == "GET";
  if (path == "/") return get ? help() : wrong_method(path);
  if (path == "/state") return get ? state(parts) : wrong_method(path);
  if (path == kTokenPath) {
    return call.method == "POST" ? workspace_token(parts, call) : wrong_method(path);
  }
  if (get && path.starts_with(kTablesPath)) {
    return workspace_table(parts, call, std::string_view(path).substr(kTablesPath.size()));
  }
  for (const auto& route : order_routes()) {
    if (path != route.path) continue;
    return call.method == route.method ? route.run(parts, split) : wrong_method(path);
  }
  return http_error(404, "no such call: " + path + "; GET / lists the calls");
}

}  // namespace penstock::local
