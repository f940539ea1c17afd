#include "tests/zerobus_local/workspace.h"

#include "tests/zerobus_local/catalog_json.h"
#include "tests/zerobus_local/scalars.h"

namespace penstock::local {
namespace {

HttpReply disturbed(const WorkspaceFault& fault) {
  using Answer = WorkspaceFault::Answer;
  switch (fault.answer) {
    case Answer::kStatus:
      return {fault.status,
              R"({"error":"ordered","error_description":"a fault of --admin, workspace"})",
              fault.retry_after_s, false};
    case Answer::kGarbage:
      return {200, "<html><body>Please sign in to the network.</body></html>"};
    case Answer::kEmpty:
      return {200, "{}"};
    case Answer::kHang:
      break;
  }
  return {200, {}, {}, true};
}

}  // namespace

HttpReply workspace_token(const AdminParts& parts, const HttpCall& call) {
  if (const auto fault = parts.faults.on_workspace(WorkspaceFault::Call::kToken)) {
    return disturbed(*fault);
  }
  return parts.tokens.give(call, read_clock().mono);
}

HttpReply workspace_table(const AdminParts& parts, const HttpCall& call, std::string_view name) {
  if (const auto fault = parts.faults.on_workspace(WorkspaceFault::Call::kTable)) {
    return disturbed(*fault);
  }
  auto allowed = parts.tokens.check_catalog(call.authorization, read_clock().mono);
  if (allowed.status != 200) return allowed;
  if (const auto table = parts.catalog.find(name)) return {200, catalog_json(*table)};
  std::string body = "{\"error_code\":\"TABLE_DOES_NOT_EXIST\",\"message\":";
  append_json_string("Table '" + std::string(name) + "' does not exist.", body);
  return {404, body + "}"};
}

}  // namespace penstock::local
