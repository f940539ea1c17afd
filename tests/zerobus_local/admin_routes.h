// What the admin port understands: orders for faults, the state, and the workspace calls a client
// makes beside the stream.
//
// No sockets here: a method and a target come in, a reply goes out. Thread-safe as far as its parts
// are. README.md lists the calls for people.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/clock.h"
#include "tests/zerobus_local/faults.h"
#include "tests/zerobus_local/registry.h"
#include "tests/zerobus_local/store.h"
#include "tests/zerobus_local/tables.h"

namespace penstock::local {

struct HttpReply {
  int status = 200;
  std::string body;  // JSON
};

struct AdminParts {
  Faults& faults;
  Registry& registry;
  GroupCommitter& store;
  Catalog& catalog;
  std::string store_name;
  std::string token;  // what /oidc/v1/token gives out
  MonoTime started;
};

// `target` is the path with its query, still percent-encoded.
HttpReply answer(const AdminParts& parts, std::string_view method, std::string_view target);

// The pieces of a request target, percent-decoded.
struct Target {
  std::string path;
  std::vector<std::pair<std::string, std::string>> query;
};
Target split_target(std::string_view target);

}  // namespace penstock::local
