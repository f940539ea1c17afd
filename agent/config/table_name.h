// The form of table names and their templates. Pure. Names: Unity Catalog's catalog.schema.table,
// without quoting.
#pragma once

#include <string_view>

#include "agent/base/result.h"

namespace penstock::config {

// `expression` with load-time references resolved. kRejected with what is wrong: "has 2 parts
// instead of 3".
Result<void> check_table_template(std::string_view expression);

}  // namespace penstock::config
