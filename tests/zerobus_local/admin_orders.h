// The orders of the admin port: faults and changes of tables. No sockets; each checks its arguments
// and refuses with the reason what it does not understand.
#pragma once

#include <vector>

#include "tests/zerobus_local/admin_routes.h"

namespace penstock::local {

struct AdminRoute {
  std::string_view method;
  std::string_view path;
  HttpReply (*run)(const AdminParts&, const Target&);
  std::string_view arguments;  // for the help text
};

const std::vector<AdminRoute>& order_routes();

}  // namespace penstock::local
