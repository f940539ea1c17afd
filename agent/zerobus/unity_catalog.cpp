#include "agent/zerobus/unity_catalog.h"

#include "agent/base/secret.h"
#include "agent/base/text.h"
#include "agent/zerobus/endpoint.h"
#include "agent/zerobus/header_value.h"
#include "agent/zerobus/token_json.h"

namespace penstock::zerobus {
namespace {

constexpr size_t kMaxQuotedBytes = 200;  // of what the catalog says

Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

// Names have letters, digits, `_` and dots only, but a template may yield others: those are
// encoded.
std::string path_encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 0xF]});
    }
  }
  return out;
}

Result<std::string> origin_of(std::string_view workspace_url) {
  if (workspace_url.empty()) {
    return denied("workspace_url is missing; the schema of a table is asked for there");
  }
  const auto workspace = parse_endpoint(workspace_url);
  if (!workspace) return Error(workspace.error()).in("workspace_url");
  if (!workspace->tls && !workspace->is_loopback()) {
    return denied("workspace_url `" + std::string(workspace_url) +
                  "` would send credentials in clear; use https://");
  }
  return (workspace->tls ? "https://" : "http://") + workspace->address();
}

// ` (User does not have USE SCHEMA on Schema 'main.iot'.)`, or nothing.
std::string catalog_words(const HttpReply& reply, std::string_view token) {
  const auto said = parse_token_json(reply.body);
  if (!said || said->message.empty() || repeats_secret(said->message, token)) return {};
  return " (" + shown(said->message, kMaxQuotedBytes) + ")";
}

}  // namespace

Result<HttpRequest> catalog_token_request(std::string_view workspace_url,
                                          const OAuthClient& client) {
  // The same request as for a stream, but for nothing in particular.
  auto request = token_request(workspace_url, "0", client, "a.b.c");
  if (!request) return request;
  request->body = "grant_type=client_credentials&scope=all-apis";
  return request;
}

Result<HttpRequest> table_request(std::string_view workspace_url, std::string_view table,
                                  std::string_view token) {
  auto origin = origin_of(workspace_url);
  if (!origin) return std::move(origin).error();
  if (auto good = check_header_value("access token", token); !good) return std::move(good).error();
  HttpRequest request;
  request.get = true;
  request.url = *origin + "/api/2.1/unity-catalog/tables/" + path_encoded(table);
  request.authorization = "Bearer " + std::string(token);
  return request;
}

Result<std::string> read_table_reply(const HttpReply& reply, std::string_view table,
                                     std::string_view token) {
  if (reply.status == 200) return reply.body;
  const std::string what = "Unity Catalog answered HTTP " + std::to_string(reply.status) +
                           " about table " + shown(table) + catalog_words(reply, token);
  if (reply.status == 429) return Error{ErrorKind::kThrottled, what, reply.retry_after};
  if (reply.status == 408 || reply.status >= 500) {
    return Error{ErrorKind::kTransient, what, reply.retry_after};
  }
  if (reply.status == 404) {
    return denied(what +
                  ". Create the table, or correct its name in the route; check that the service "
                  "principal may USE its catalog and schema, and workspace_url.");
  }
  if (reply.status == 401 || reply.status == 403) {
    return denied(what +
                  ". Grant the service principal USE CATALOG, USE SCHEMA and SELECT on the table; "
                  "check the destination's credentials.");
  }
  return denied(what + ". Check workspace_url: it must be the address of the workspace.");
}

}  // namespace penstock::zerobus
