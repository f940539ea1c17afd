#include "agent/zerobus/oauth_request.h"

#include <algorithm>
#include <array>

#include "agent/base/secret.h"
#include "agent/base/text.h"
#include "agent/zerobus/endpoint.h"
#include "agent/zerobus/token_json.h"

namespace penstock::zerobus {
namespace {

constexpr size_t kMaxQuotedBytes = 200;      // of what the server says
constexpr size_t kMaxTokenBytes = 16 << 10;  // what fits into the header of a stream

Error denied(std::string what) { return {ErrorKind::kDenied, std::move(what), {}}; }

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      out.push_back(k <= have ? kAlphabet[bits >> (18 - 6 * k) & 0x3F] : '=');
  }
  return out;
}

// application/x-www-form-urlencoded, as browsers and the vendor's client write it.
std::string form_encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alnum || c == '*' || c == '-' || c == '.' || c == '_') {
      out.push_back(c);
    } else if (c == ' ') {
      out.push_back('+');
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 0xF]});
    }
  }
  return out;
}

std::string json_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      out.append("\\u00").append({kHex[byte >> 4], kHex[byte & 0xF]});
    } else {
      if (c == '"' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
  }
  return out + '"';
}

// "catalog", "catalog.schema" and "catalog.schema.table".
Result<std::array<std::string_view, 3>> levels_of(std::string_view table) {
  const size_t first = table.find('.');
  const size_t second = first == table.npos ? first : table.find('.', first + 1);
  const bool three = second != table.npos && table.find('.', second + 1) == table.npos;
  if (!three || first == 0 || second == first + 1 || second + 1 == table.size()) {
    return denied("table `" + shown(table) +
                  "` has not three parts; expected catalog.schema.table in the route");
  }
  return std::array{table.substr(0, first), table.substr(0, second), table};
}

std::string privilege(std::string_view names, std::string_view type, std::string_view object,
                      std::string_view more = "") {
  std::string out = R"({"type":"unity_catalog_privileges","privileges":[)";
  out.append(names).append(R"(],"object_type":")").append(type);
  out.append(R"(","object_full_path":)").append(json_string(object)).append(more);
  return out + '}';
}

// The names are with a space; the service refuses USE_CATALOG.
std::string authorization_details(const std::array<std::string_view, 3>& levels) {
  return "[" + privilege(R"("USE CATALOG")", "CATALOG", levels[0]) + "," +
         privilege(R"("USE SCHEMA")", "SCHEMA", levels[1]) + "," +
         privilege(R"("SELECT","MODIFY")", "TABLE", levels[2],
                   R"(,"operations":["zerobuswrite"])") +
         "]";
}

// ` (invalid_client: Client authentication failed)`, or nothing: a server, or a proxy in between,
// may repeat what it was sent.
std::string server_words(const HttpReply& reply, const OAuthClient& client) {
  const auto said = parse_token_json(reply.body);
  if (!said) return {};
  std::string words = said->error;
  if (!words.empty() && !said->error_description.empty()) words += ": ";
  words += said->error_description;
  for (const auto& secret :
       {client.secret, form_encoded(client.secret), base64(client.id + ":" + client.secret)}) {
    if (words.empty() || repeats_secret(words, secret)) return {};
  }
  return " (" + shown(words, kMaxQuotedBytes) + ")";
}

Error refusal(const HttpReply& reply, const OAuthClient& client) {
  const std::string what =
      "the workspace answered HTTP " + std::to_string(reply.status) + server_words(reply, client);
  if (reply.status == 429) return {ErrorKind::kThrottled, what, reply.retry_after};
  if (reply.status == 408 || reply.status >= 500)
    return {ErrorKind::kTransient, what, reply.retry_after};
  if (reply.status == 401) {
    return denied(what +
                  ". Check the destination's client_id and client_secret: is the secret expired or "
                  "of another service principal?");
  }
  if (reply.status == 404 || reply.status < 400) {
    return denied(what + ". Check workspace_url: it must be the address of the workspace.");
  }
  return denied(what +
                ". Grant the service principal USE CATALOG, USE SCHEMA and, directly on the table, "
                "SELECT and MODIFY; check client_id and workspace_url too.");
}

}  // namespace

Result<std::string> workspace_id(std::string_view endpoint_host) {
  Endpoint endpoint;
  endpoint.host = endpoint_host;
  if (endpoint.is_loopback()) return std::string("0");
  const auto label = endpoint_host.substr(0, endpoint_host.find('.'));
  const bool digits = !label.empty() && label.find_first_not_of("0123456789") == label.npos;
  if (!digits || endpoint_host.find("zerobus") == endpoint_host.npos) {
    return denied("endpoint `" + std::string(endpoint_host) +
                  "` does not begin with the workspace id, which client_id needs; expected "
                  "https://WORKSPACE_ID.zerobus.REGION.cloud.databricks.com");
  }
  return std::string(label);
}

Result<HttpRequest> token_request(std::string_view workspace_url, std::string_view workspace_id,
                                  const OAuthClient& client, std::string_view table) {
  const auto levels = levels_of(table);
  if (!levels) return levels.error();
  const auto workspace = parse_endpoint(workspace_url);
  if (!workspace) return Error(workspace.error()).in("workspace_url");
  if (!workspace->tls && !workspace->is_loopback()) {
    return denied("workspace_url `" + std::string(workspace_url) +
                  "` would send the client secret in clear; use https://");
  }
  if (client.id.empty() || client.secret.empty()) {
    return denied("client_id or client_secret is empty; set both in the destination's `auth`");
  }
  if (client.id.find(':') != client.id.npos) {
    return denied("client_id has a colon; give the application id of the service principal");
  }
  HttpRequest request;
  request.url = (workspace->tls ? "https://" : "http://") + workspace->address() + "/oidc/v1/token";
  request.authorization = "Basic " + base64(client.id + ":" + client.secret);
  request.body = "grant_type=client_credentials&scope=all-apis&resource=" +
                 form_encoded("api://databricks/workspaces/" + std::string(workspace_id) +
                              "/zerobusDirectWriteApi") +
                 "&authorization_details=" + form_encoded(authorization_details(*levels));
  return request;
}

Result<AccessToken> read_token(const HttpReply& reply, const OAuthClient& client) {
  if (reply.status != 200) return refusal(reply, client);
  auto said = parse_token_json(reply.body);
  const std::string token = said ? std::move(said->access_token) : std::string();
  // It becomes a header: visible ASCII.
  const bool usable = !token.empty() && std::all_of(token.begin(), token.end(),
                                                    [](char c) { return c > 32 && c < 127; });
  if (usable && token.size() <= kMaxTokenBytes) return AccessToken{token, said->lifetime};
  const std::string what =
      usable ? "an access_token of " + std::to_string(token.size()) + " bytes, which is too long"
             : std::string("no usable access_token");
  return denied("the workspace answered with " + what +
                ". Check workspace_url: it must be the address of the workspace, and nothing may "
                "stand in between (a login page, a proxy).");
}

}  // namespace penstock::zerobus
