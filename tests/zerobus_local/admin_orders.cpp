#include "tests/zerobus_local/admin_orders.h"

#include <cstdlib>
#include <utility>

#include "tests/zerobus_local/admin_arguments.h"

namespace penstock::local {
namespace {

constexpr int64_t kMaxMillis = int64_t{24} * 3600 * 1000;
constexpr int64_t kMaxTextBytes = 64 << 20;
constexpr int64_t kMany = int64_t{1} << 40;

HttpReply done(const AdminParts& parts) {
  for (const auto& stream : parts.registry.streams()) stream->fault_changed();
  return {200, "{\"ok\":true,\"faults\":" + parts.faults.to_json() + "}"};
}

HttpReply order_drop(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"status", "after", "table", "times", "text_bytes"});
  const auto code = arguments.status();
  const int64_t text_bytes = arguments.number("text_bytes", 0, 0, kMaxTextBytes);
  const int64_t after = arguments.number("after", 0, 0, kMany);
  const int64_t times = arguments.number("times", 1, 0, kMany);
  if (after == 0 && arguments.has("times")) {
    arguments.fail("'times' needs 'after' of at least 1: without it open streams end at once");
  }
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  if (after > 0) {
    parts.faults.add_drop(code, after, arguments.table(), times, text_bytes);
    return done(parts);
  }
  for (const auto& stream : parts.registry.streams()) {
    if (!glob_matches(arguments.table(), stream->info().table)) continue;
    stream->end_at_once({code, padded("stream ended by an ordered fault (drop)", text_bytes)});
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
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  if (by_record) {
    parts.faults.add_reject_record(record, arguments.table());
  } else {
    parts.faults.add_reject_match(match, arguments.table());
  }
  return done(parts);
}

HttpReply order_refuse_create(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"status", "table", "times", "text_bytes"});
  const auto code = arguments.status();
  const int64_t text_bytes = arguments.number("text_bytes", 0, 0, kMaxTextBytes);
  const int64_t times = arguments.number("times", 0, 0, kMany);
  if (code == grpc::StatusCode::OK) arguments.fail("'status' must not be OK");
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.add_refuse_create(code, arguments.table(), times, text_bytes);
  return done(parts);
}

HttpReply order_no_acks(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"on"});
  const bool on = arguments.flag("on", true);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.set_no_acks(on);
  return done(parts);
}

HttpReply order_slow_acks(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"ms"});
  const int64_t ms = arguments.number("ms", {}, 0, kMaxMillis);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.set_slow_acks(Millis(ms));
  return done(parts);
}

HttpReply order_close_signal(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"seconds", "table"});
  const int64_t seconds = arguments.number("seconds", {}, 0, kMaxMillis / 1000);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  for (const auto& stream : parts.registry.streams()) {
    if (!glob_matches(arguments.table(), stream->info().table)) continue;
    stream->signal_close(Millis(seconds * 1000));
  }
  return done(parts);
}

HttpReply order_clear(const AdminParts& parts, const Target& target) {
  const Arguments arguments(target, {});
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.clear();
  return done(parts);
}

HttpReply order_freeze(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"on", "table"});
  const bool on = arguments.flag("on", true);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.set_freeze(arguments.table(), on);
  return done(parts);
}

HttpReply order_no_read(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"on", "table"});
  const bool on = arguments.flag("on", true);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.set_no_read(arguments.table(), on);
  return done(parts);
}

HttpReply order_rotate(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"every_ms", "grace_ms", "hard", "table"});
  Rotation rotation;
  rotation.every = Millis(arguments.number("every_ms", {}, 0, kMaxMillis));
  rotation.grace = Millis(arguments.number("grace_ms", 1000, 0, kMaxMillis));
  rotation.hard = arguments.flag("hard", false);
  rotation.table = arguments.table();
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.set_rotation(std::move(rotation));
  return done(parts);
}

std::optional<std::string> bytes_of_hex(std::string_view text) {
  const auto digit = [](char c) {
    const auto at = std::string_view("0123456789abcdefABCDEF").find(c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at < 16 ? at : at - 6);
  };
  std::string out;
  if (text.size() % 2 != 0) return std::nullopt;
  for (size_t i = 0; i < text.size(); i += 2) {
    if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return std::nullopt;
    out.push_back(static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1])));
  }
  return out;
}

HttpReply order_say(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"hex", "table"});
  const auto bytes = bytes_of_hex(arguments.text("hex").value_or("?"));
  if (!bytes) arguments.fail("argument 'hex' must be the bytes of a response, two digits each");
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  for (const auto& stream : parts.registry.streams()) {
    if (glob_matches(arguments.table(), stream->info().table)) stream->say(*bytes);
  }
  return done(parts);
}

HttpReply order_expire_tokens(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"streams"});
  const bool streams = arguments.flag("streams", false);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  if (!parts.tokens.expire_all()) {
    return http_error(400,
                      "the tokens of this server do not end; start it with --client ID:SECRET");
  }
  if (streams) {
    for (const auto& stream : parts.registry.streams()) {
      stream->end_at_once({grpc::StatusCode::UNAUTHENTICATED, "the access token is expired"});
    }
  }
  return done(parts);
}

HttpReply order_workspace(const AdminParts& parts, const Target& target) {
  using Call = WorkspaceFault::Call;
  using Answer = WorkspaceFault::Answer;
  Arguments arguments(target, {"answer", "call", "retry_after", "times"});
  WorkspaceFault fault;
  const std::string answer = arguments.needed("answer");
  const std::string call = arguments.text("call").value_or("any");
  if (answer == "garbage") {
    fault.answer = Answer::kGarbage;
  } else if (answer == "empty") {
    fault.answer = Answer::kEmpty;
  } else if (answer == "hang") {
    fault.answer = Answer::kHang;
  } else if (const auto parsed = std::atoi(answer.c_str()); parsed >= 400 && parsed <= 599) {
    fault.status = parsed;
  } else {
    arguments.fail(
        "argument 'answer' must be an HTTP status from 400 to 599, garbage, empty or hang");
  }
  if (call != "any" && call != "token" && call != "table") {
    arguments.fail("argument 'call' must be token, table or any");
  }
  fault.call = call == "token" ? Call::kToken : call == "table" ? Call::kTable : Call::kAny;
  if (arguments.has("retry_after")) {
    fault.retry_after_s = static_cast<int>(arguments.number("retry_after", {}, 0, 86'400));
  }
  fault.times = arguments.number("times", 0, 0, kMany);
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  parts.faults.add_workspace(fault);
  return done(parts);
}

HttpReply order_alter(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"table", "add", "type", "drop"});
  const std::string table = arguments.needed("table");
  const bool add = arguments.has("add");
  if (add == arguments.has("drop")) arguments.fail("give either 'add' and 'type', or 'drop'");
  const std::string type = add ? arguments.needed("type") : std::string();
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  const auto altered = add ? parts.catalog.add_column(table, *arguments.text("add"), type)
                           : parts.catalog.drop_column(table, *arguments.text("drop"));
  if (!altered) return http_error(400, altered.error().what);
  return done(parts);
}

HttpReply order_drop_table(const AdminParts& parts, const Target& target) {
  Arguments arguments(target, {"table"});
  const std::string table = arguments.needed("table");
  if (!arguments.problem().empty()) return http_error(400, arguments.problem());
  if (!parts.catalog.drop_table(table)) return http_error(400, "there is no table " + table);
  return done(parts);
}

}  // namespace

const std::vector<AdminRoute>& order_routes() {
  static const std::vector<AdminRoute> routes = {
      {"POST", "/faults/drop", order_drop,
       "?status=S[&after=N][&table=GLOB][&times=K][&text_bytes=N]"},
      {"POST", "/faults/reject", order_reject,
       "?match=TEXT[&table=GLOB] or ?record=K[&table=GLOB]"},
      {"POST", "/faults/refuse-create", order_refuse_create,
       "?status=S[&table=GLOB][&times=K][&text_bytes=N]"},
      {"POST", "/faults/no-acks", order_no_acks, "[?on=true|false]"},
      {"POST", "/faults/slow-acks", order_slow_acks, "?ms=N"},
      {"POST", "/faults/freeze", order_freeze, "[?on=true|false][&table=GLOB]"},
      {"POST", "/faults/no-read", order_no_read, "[?on=true|false][&table=GLOB]"},
      {"POST", "/faults/close-signal", order_close_signal, "?seconds=N[&table=GLOB]"},
      {"POST", "/faults/rotate", order_rotate, "?every_ms=N[&grace_ms=N][&hard=true][&table=GLOB]"},
      {"POST", "/faults/say", order_say, "?hex=BYTES[&table=GLOB]"},
      {"POST", "/faults/expire-tokens", order_expire_tokens, "[?streams=true]"},
      {"POST", "/faults/workspace", order_workspace,
       "?answer=STATUS|garbage|empty|hang[&call=token|table][&retry_after=S][&times=K]"},
      {"POST", "/faults/clear", order_clear, ""},
      {"POST", "/tables/alter", order_alter, "?table=NAME&add=COLUMN&type=TYPE or &drop=COLUMN"},
      {"POST", "/tables/drop", order_drop_table, "?table=NAME"},
  };
  return routes;
}

}  // namespace penstock::local
