// What can stand in a header of a request. Pure.
#pragma once

#include <string_view>

#include "agent/base/result.h"

namespace penstock::zerobus {

// kDenied, saying `what` it is and where, unless `value` is printable ASCII and not empty. gRPC
// aborts the process on anything else, and libcurl sends it: a line break would end the headers.
Result<void> check_header_value(std::string_view what, std::string_view value);

}  // namespace penstock::zerobus
