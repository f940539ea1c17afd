#include "tests/zerobus_local/admin_routes.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "tests/zerobus_local/catalog_json.h"
#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

constexpr int64_t kMaxMillis = int64_t{24} * 3600 * 1000;

HttpReply error(int status, std::string_view what) {
  std::string body = "{\"error\":";
  append_json_string(what, body);
  return {status, body + "}"};
}

// Query arguments of one call: every one must be known, needed ones present, numbers in range.
class Arguments {
 public:
  Arguments(const Target& target, std::vector<std::string_view> known) : query_(target.query) {
    for (const auto& [key, value] : query_) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      std::string names;
      for (const auto name : known) names += (names.empty() ? "" : ", ") + std::string(name);
      fail("unknown argument '" + key + "'; known here: " + (names.empty() ? "none" : names));
    }
  }

  std::optional<std::string> text(std::string_view name) const {
    for (const auto& [key, value] : query_) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
  bool has(std::string_view name) const { return text(name).has_value(); }
  std::string table() const { return text("table").value_or("*"); }

  int64_t number(std::string_view name, std::optional<int64_t> otherwise, int64_t min,
                 int64_t max) {
    const auto given = text(name);
    if (!given) {
      if (!otherwise) fail("argument '" + std::string(name) + "' is missing");
      return otherwise.value_or(min);
    }
    int64_t value = 0;
    const auto* end = given->data() + given->size();
    const auto [stop, code] = std::from_chars(given->data(), end, value);
    if (code == std::errc() && stop == end && value >= min && value <= max) return value;
    fail("argument '" + std::string(name) + "' must be a whole number from " + std::to_string(min) +
         " to " + std::to_string(max));
    return min;
  }

  grpc::StatusCode status() {
    const auto given = text("status");
    const auto code = given ? parse_status(*given) : std::nullopt;
    if (!code) fail("argument 'status' must be a gRPC status name, such as UNAVAILABLE");
    return code.value_or(grpc::StatusCode::UNKNOWN);
  }

  void fail(std::string what) {
    if (problem_.empty()) problem_ = std::move(what);
  }
  const std::string& problem() const { return problem_; }

 private:
  const std::vector<std::pair<std::string, std::string>>& query_;
  std::string problem_;
};

constexpr int64_t kMany = int64_t{1} << 40;

HttpReply done(const AdminParts& parts) {
  for (const auto& stream : parts.registry.streams()) stream->fault_changed();
  return {200, "{\"ok\":true,\"faults\":" + parts.faults.to_json() + "}"};
}

HttpReply order_drop(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"status", "after", "table", "times"});
  const auto code = arguments.status();
  const int64_t after = arguments.number("after", 0, 0, kMany);
  const int64_t times = arguments.number("times", 1, 0, kMany);
  if (after == 0 && arguments.has("times")) {
    arguments.fail("'times' needs 'after' of at least 1: without it open streams end at once");
  }
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  if (after > 0) {
    parts.faults.add_drop(code, after, arguments.table(), times);
    return done(parts);
  }
  for (const auto& stream : parts.registry.streams()) {
    if (!glob_matches(arguments.table(), stream->info().table)) continue;
    stream->end_at_once({code, "stream ended by an ordered fault (drop)"});
  }
  return done(parts);
}

HttpReply order_reject(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"match", "record", "table"});
  const bool by_record = arguments.has("record");
  if (by_record == arguments.has("match")) arguments.fail("give either 'match' or 'record'");
  const int64_t record = by_record ? arguments.number("record", {}, 1, kMany) : 0;
  const std::string match = arguments.text("match").value_or("");
  if (!by_record && match.empty()) arguments.fail("'match' must not be empty");
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  if (by_record) {
    parts.faults.add_reject_record(record, arguments.table());
  } else {
    parts.faults.add_reject_match(match, arguments.table());
  }
  return done(parts);
}

HttpReply order_refuse_create(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"status", "table", "times"});
  const auto code = arguments.status();
  const int64_t times = arguments.number("times", 0, 0, kMany);
  if (code == grpc::StatusCode::OK) arguments.fail("'status' must not be OK");
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  parts.faults.add_refuse_create(code, arguments.table(), times);
  return done(parts);
}

HttpReply order_no_acks(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"on"});
  const std::string on = arguments.text("on").value_or("true");
  if (on != "true" && on != "false") arguments.fail("'on' must be true or false");
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  parts.faults.set_no_acks(on == "true");
  return done(parts);
}

HttpReply order_slow_acks(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"ms"});
  const int64_t ms = arguments.number("ms", {}, 0, kMaxMillis);
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  parts.faults.set_slow_acks(Millis(ms));
  return done(parts);
}

HttpReply order_close_signal(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"seconds", "table"});
  const int64_t seconds = arguments.number("seconds", {}, 0, kMaxMillis / 1000);
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  for (const auto& stream : parts.registry.streams()) {
    if (!glob_matches(arguments.table(), stream->info().table)) continue;
    stream->signal_close(Millis(seconds * 1000));
  }
  return done(parts);
}

HttpReply order_clear(const AdminParts& parts, const Target& target) {
  const Arguments arguments(target, {});
  if (!arguments.problem().empty()) return error(400, arguments.problem());
  parts.faults.clear();
  return done(parts);
}

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
  return {200,
          R"({"calls":["GET /state",)"
          R"("POST /faults/drop?status=S[&after=N][&table=GLOB][&times=K]",)"
          R"("POST /faults/reject?match=TEXT[&table=GLOB]",)"
          R"("POST /faults/reject?record=K[&table=GLOB]","POST /faults/no-acks[?on=true|false]",)"
          R"("POST /faults/slow-acks?ms=N",)"
          R"("POST /faults/refuse-create?status=S[&table=GLOB][&times=K]",)"
          R"("POST /faults/close-signal?seconds=N[&table=GLOB]","POST /faults/clear",)"
          R"("POST /oidc/v1/token","GET /api/2.1/unity-catalog/tables/NAME"]})"};
}

HttpReply give_token(const AdminParts& parts) {
  std::string body = "{\"access_token\":";
  append_json_string(parts.token.empty() ? "local" : parts.token, body);
  return {200, body + ",\"token_type\":\"Bearer\",\"expires_in\":3600}"};
}

HttpReply describe_table(const AdminParts& parts, std::string_view name) {
  const auto table = parts.catalog.find(name);
  if (table) return {200, catalog_json(*table)};
  std::string body = "{\"error_code\":\"TABLE_DOES_NOT_EXIST\",\"message\":";
  append_json_string("Table '" + std::string(name) + "' does not exist.", body);
  return {404, body + "}"};
}

struct Route {
  std::string_view method;
  std::string_view path;
  HttpReply (*run)(const AdminParts&, const Target&);
};
constexpr Route kRoutes[] = {
    {"GET", "/", [](const AdminParts&, const Target&) { return help(); }},
    {"GET", "/state", [](const AdminParts& parts, const Target&) { return state(parts); }},
    {"POST", "/faults/drop", order_drop},
    {"POST", "/faults/reject", order_reject},
    {"POST", "/faults/refuse-create", order_refuse_create},
    {"POST", "/faults/no-acks", order_no_acks},
    {"POST", "/faults/slow-acks", order_slow_acks},
    {"POST", "/faults/close-signal", order_close_signal},
    {"POST", "/faults/clear", order_clear},
    {"POST", "/oidc/v1/token",
     [](const AdminParts& parts, const Target&) { return give_token(parts); }},
};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return out;
}

}  // namespace

Target split_target(std::string_view target) {
  Target out;
  const size_t mark = target.find('?');
  out.path = percent_decoded(target.substr(0, mark));
  if (mark == std::string_view::npos) return out;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const size_t equals = std::min(pair.find('='), pair.size());
    out.query.emplace_back(percent_decoded(pair.substr(0, equals)),
                           percent_decoded(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return out;
}

HttpReply answer(const AdminParts& parts, std::string_view method, std::string_view target) {
  constexpr std::string_view kTables = "/api/2.1/unity-catalog/tables/";
  const Target split = split_target(target);
  if (method == "GET" && split.path.compare(0, kTables.size(), kTables) == 0) {
    return describe_table(parts, std::string_view(split.path).substr(kTables.size()));
  }
  bool path_known = false;
  for (const auto& route : kRoutes) {
    if (split.path != route.path) continue;
    if (method == route.method) return route.run(parts, split);
    path_known = true;
  }
  if (path_known) return error(405, "wrong method for " + split.path + "; GET / lists the calls");
  return error(404, "no such call: " + split.path + "; GET / lists the calls");
}

}  // namespace penstock::local
