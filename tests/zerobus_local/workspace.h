// The calls a client makes to its workspace beside the stream: access tokens and Unity Catalog.
// Thread-safe as far as its parts are.
#pragma once

#include "tests/zerobus_local/admin_routes.h"

namespace penstock::local {

// POST /oidc/v1/token
HttpReply workspace_token(const AdminParts& parts, const HttpCall& call);
// GET /api/2.1/unity-catalog/tables/NAME
HttpReply workspace_table(const AdminParts& parts, const HttpCall& call, std::string_view name);

}  // namespace penstock::local
