#include "tests/zerobus_local/tokens.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <random>

#include <simdjson.h>
#include <spdlog/fmt/fmt.h>

#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

constexpr std::string_view kNoGrant =
    "the access token carries no grant for the table: authorization_details must name USE CATALOG "
    "on the catalog, USE SCHEMA on the schema and SELECT, MODIFY on the table. Error Code: 4024, "
    "Error State: 0.";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// The credentials of "Basic BASE64", or nothing.
std::string basic_of(std::string_view authorization) {
  constexpr std::string_view kScheme = "basic ";
  std::string out;
  const bool basic = authorization.size() > kScheme.size() &&
                     lower(authorization.substr(0, kScheme.size())) == kScheme;
  if (!basic || !decode_base64(authorization.substr(kScheme.size()), out)) return {};
  return out;
}

struct Privilege {
  std::string type, object_type, object;
  std::vector<std::string> names;
};

// False when the text is no array of privilege objects.
bool read_details(const std::string& text, std::vector<Privilege>& out) {
  simdjson::dom::parser parser;
  simdjson::dom::array all;
  if (parser.parse(text).get(all) != simdjson::SUCCESS) return false;
  for (const simdjson::dom::element one : all) {
    std::string_view type, object_type, object;
    simdjson::dom::array names;
    if (one["type"].get(type) != simdjson::SUCCESS ||
        one["object_type"].get(object_type) != simdjson::SUCCESS ||
        one["object_full_path"].get(object) != simdjson::SUCCESS ||
        one["privileges"].get(names) != simdjson::SUCCESS) {
      return false;
    }
    Privilege privilege{std::string(type), std::string(object_type), lower(object), {}};
    for (const simdjson::dom::element name : names) {
      std::string_view word;
      if (name.get(word) != simdjson::SUCCESS) return false;
      privilege.names.emplace_back(word);
    }
    out.push_back(std::move(privilege));
  }
  return true;
}

bool known_privilege(const Privilege& one) {
  constexpr std::array<std::string_view, 4> kNames = {"USE CATALOG", "USE SCHEMA", "SELECT",
                                                      "MODIFY"};
  return one.type == "unity_catalog_privileges" &&
         std::all_of(one.names.begin(), one.names.end(), [&](const std::string& name) {
           return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
         });
}

bool grants(const std::vector<Privilege>& all, std::string_view object_type,
            std::string_view object, std::string_view name) {
  return std::any_of(all.begin(), all.end(), [&](const Privilege& one) {
    return one.object_type == object_type && one.object == object &&
           std::find(one.names.begin(), one.names.end(), name) != one.names.end();
  });
}

TokenWish refused(std::string error, std::string description) {
  return {std::move(error), std::move(description), {}, false};
}

TokenWish read_authorization(const std::string& text) {
  std::vector<Privilege> all;
  if (!read_details(text, all) || !std::all_of(all.begin(), all.end(), known_privilege)) {
    return refused("invalid_authorization_details",
                   "authorization_details must be an array of unity_catalog_privileges; the names "
                   "are written with a space, as in USE CATALOG");
  }
  TokenWish wish;
  for (const auto& one : all) {
    if (one.object_type == "TABLE") wish.table = one.object;
  }
  const size_t first = wish.table.find('.');
  const size_t second = first == std::string::npos ? first : wish.table.find('.', first + 1);
  if (second == std::string::npos) {
    return refused("invalid_authorization_details", "no TABLE named catalog.schema.table");
  }
  wish.may_write = grants(all, "CATALOG", wish.table.substr(0, first), "USE CATALOG") &&
                   grants(all, "SCHEMA", wish.table.substr(0, second), "USE SCHEMA") &&
                   grants(all, "TABLE", wish.table, "SELECT") &&
                   grants(all, "TABLE", wish.table, "MODIFY");
  return wish;
}

// api://databricks/workspaces/ID/zerobusDirectWriteApi
bool legal_resource(std::string_view resource) {
  constexpr std::string_view kFront = "api://databricks/workspaces/";
  constexpr std::string_view kBack = "/zerobusDirectWriteApi";
  if (!resource.starts_with(kFront) || !resource.ends_with(kBack)) return false;
  if (resource.size() <= kFront.size() + kBack.size()) return false;
  return resource.substr(kFront.size(), resource.size() - kFront.size() - kBack.size()).find('/') ==
         resource.npos;
}

HttpReply oauth_error(int status, std::string_view error, std::string_view description) {
  std::string body = "{\"error\":";
  append_json_string(error, body);
  body += ",\"error_description\":";
  append_json_string(description, body);
  return {status, body + "}"};
}

HttpReply token_reply(std::string_view token, Millis lifetime) {
  std::string body = "{\"access_token\":";
  append_json_string(token, body);
  return {200, body + ",\"token_type\":\"Bearer\",\"expires_in\":" +
                   std::to_string(lifetime.count() / 1000) + "}"};
}

std::string new_token() {
  std::random_device random;
  std::string token = "local";
  for (int i = 0; i < 6; ++i) token += fmt::format("-{:08x}", random());
  return token;
}

}  // namespace

std::string_view bearer_of(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  if (lower(authorization.substr(0, kScheme.size())) != kScheme) return {};
  authorization.remove_prefix(kScheme.size());
  const size_t first = authorization.find_first_not_of(' ');
  return first == std::string_view::npos ? std::string_view() : authorization.substr(first);
}

TokenWish read_token_request(const HttpCall& call) {
  if (!call.content_type.starts_with("application/x-www-form-urlencoded")) {
    return refused("invalid_request", "Content-Type must be application/x-www-form-urlencoded");
  }
  std::map<std::string, std::string> form;
  for (auto& [key, value] : split_form(call.body)) {
    if (!form.emplace(key, std::move(value)).second) {
      return refused("invalid_request", "parameter " + key + " is given twice");
    }
  }
  if (form["grant_type"] != "client_credentials") {
    return refused("unsupported_grant_type", "grant_type must be client_credentials");
  }
  if (form["scope"] != "all-apis") return refused("invalid_scope", "scope must be all-apis");
  for (const auto& [key, value] : form) {
    if (key != "grant_type" && key != "scope" && key != "resource" &&
        key != "authorization_details") {
      return refused("invalid_request", "unknown parameter " + key);
    }
  }
  if (!form.contains("authorization_details") && !form.contains("resource")) return {};
  if (!legal_resource(form["resource"])) {
    return refused("invalid_target",
                   "resource must be api://databricks/workspaces/ID/zerobusDirectWriteApi");
  }
  return read_authorization(form["authorization_details"]);
}

HttpReply Tokens::give(const HttpCall& call, MonoTime now) {
  if (rules_.client_id.empty()) {
    return token_reply(rules_.fixed.empty() ? "local" : rules_.fixed, rules_.lifetime);
  }
  if (basic_of(call.authorization) != rules_.client_id + ":" + rules_.client_secret) {
    return oauth_error(401, "invalid_client", "Client authentication failed");
  }
  const TokenWish wish = read_token_request(call);
  if (!wish.error.empty()) return oauth_error(400, wish.error, wish.description);
  const std::string token = new_token();
  const std::lock_guard lock(mutex_);
  std::erase_if(given_, [now](const auto& one) { return one.second.ends <= now; });
  given_[token] = {wish.table, wish.may_write, now + rules_.lifetime};
  return token_reply(token, rules_.lifetime);
}

grpc::Status Tokens::check(std::string_view bearer, std::string_view table, MonoTime now) const {
  using grpc::StatusCode;
  if (rules_.client_id.empty()) {
    if (rules_.fixed.empty() || bearer == rules_.fixed) return grpc::Status::OK;
    return {StatusCode::UNAUTHENTICATED, "the bearer token is not the one of --token"};
  }
  const std::lock_guard lock(mutex_);
  const auto found = given_.find(bearer);
  if (found == given_.end() || found->second.ends <= now) {
    return {StatusCode::UNAUTHENTICATED, "the access token is expired or was not given out here"};
  }
  if (found->second.table != lower(table) || !found->second.may_write) {
    return {StatusCode::PERMISSION_DENIED, std::string(kNoGrant)};
  }
  return grpc::Status::OK;
}

HttpReply Tokens::check_catalog(std::string_view authorization, MonoTime now) const {
  if (rules_.client_id.empty()) return {};
  const std::lock_guard lock(mutex_);
  const auto found = given_.find(bearer_of(authorization));
  if (found == given_.end() || found->second.ends <= now) {
    return oauth_error(401, "UNAUTHENTICATED", "the access token is missing, expired or unknown");
  }
  if (!found->second.table.empty()) {
    return oauth_error(403, "PERMISSION_DENIED",
                       "a token for ingestion does not open Unity Catalog; ask for one without "
                       "authorization_details");
  }
  return {};
}

bool Tokens::expire_all() {
  if (rules_.client_id.empty()) return false;
  const std::lock_guard lock(mutex_);
  given_.clear();
  return true;
}

}  // namespace penstock::local
