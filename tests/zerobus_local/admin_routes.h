// What the admin port understands: orders for faults, the state, and the workspace calls a client
// makes beside the stream.
//
// No sockets here: a call comes in, a reply goes out. Thread-safe as far as its parts are.
// README.md lists the calls for people.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "tests/zerobus_local/faults.h"
#include "tests/zerobus_local/http_reply.h"
#include "tests/zerobus_local/registry.h"
#include "tests/zerobus_local/store.h"
#include "tests/zerobus_local/tables.h"
#include "tests/zerobus_local/tokens.h"

namespace penstock::local {

struct AdminParts {
  Faults& faults;
  Registry& registry;
  GroupCommitter& store;
  Catalog& catalog;
  std::string store_name;
  Tokens& tokens;
  MonoTime started;
};

HttpReply answer(const AdminParts& parts, const HttpCall& call);

}  // namespace penstock::local
