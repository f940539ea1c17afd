#include "tests/zerobus_local/service.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace penstock::local {
namespace {

constexpr std::string_view kTableHeader = "x-databricks-zerobus-table-name";

std::string header(const grpc::CallbackServerContext& call, std::string_view name) {
  const auto& all = call.client_metadata();
  const auto it = all.find(grpc::string_ref(name.data(), name.size()));
  return it == all.end() ? std::string() : std::string(it->second.data(), it->second.size());
}

// The scheme's name is case-insensitive (RFC 9110, 11.1).
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  const bool same =
      std::equal(kScheme.begin(), kScheme.end(), authorization.begin(),
                 [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
  if (!same) return {};
  authorization.remove_prefix(kScheme.size());
  const size_t first = authorization.find_first_not_of(' ');
  return first == std::string_view::npos ? std::string_view() : authorization.substr(first);
}

}  // namespace

grpc::Status check_metadata(std::string_view authorization, std::string_view table,
                            std::string_view token) {
  const auto given = bearer(authorization);
  if (given.empty()) {
    return {grpc::StatusCode::UNAUTHENTICATED,
            "the header 'authorization: Bearer TOKEN' is missing"};
  }
  if (!token.empty() && given != token) {
    return {grpc::StatusCode::UNAUTHENTICATED, "the bearer token is not the one of --token"};
  }
  if (table.empty()) {
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "the header '" + std::string(kTableHeader) + "' is missing"};
  }
  return grpc::Status::OK;
}

Service::Service(StreamContext& context, std::string token)
    : context_(context), token_(std::move(token)) {}

RawReactor* Service::EphemeralStream(grpc::CallbackServerContext* call) {
  std::string table = header(*call, kTableHeader);
  const auto status = check_metadata(header(*call, "authorization"), table, token_);
  if (!status.ok()) {
    context_.log.info("call refused: {}", status.error_message());
    return refuse_stream(status);
  }
  return start_stream(context_, std::move(table));
}

}  // namespace penstock::local
