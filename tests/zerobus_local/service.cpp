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

}  // namespace

grpc::Status check_metadata(std::string_view authorization, std::string_view table,
                            const Tokens& tokens, MonoTime now) {
  const auto given = bearer_of(authorization);
  if (given.empty()) {
    return {grpc::StatusCode::UNAUTHENTICATED,
            "the header 'authorization: Bearer TOKEN' is missing"};
  }
  if (table.empty()) {
    return {grpc::StatusCode::INVALID_ARGUMENT,
            "the header '" + std::string(kTableHeader) + "' is missing"};
  }
  return tokens.check(given, table, now);
}

Service::Service(StreamContext& context, const Tokens& tokens)
    : context_(context), tokens_(tokens) {}

RawReactor* Service::EphemeralStream(grpc::CallbackServerContext* call) {
  std::string table = header(*call, kTableHeader);
  const auto status =
      check_metadata(header(*call, "authorization"), table, tokens_, read_clock().mono);
  if (!status.ok()) {
    context_.log.info("call refused: {}", status.error_message());
    return refuse_stream(status);
  }
  return start_stream(context_, std::move(table));
}

}  // namespace penstock::local
