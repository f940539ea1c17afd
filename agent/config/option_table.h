// Whether an option table makes sense by itself: what check_options takes for granted. Pure; for
// tables that come from a plugin somebody else wrote.
#pragma once

#include <span>
#include <string>

#include "agent/config/options.h"

namespace penstock::config {

// What is wrong with the first row that is: a name that is no path of words (`line.baud`,
// `subscribe[].filter`), the same name twice, a name that is a value here and a map or list there,
// an unknown type, an enum without choices. Empty: nothing.
std::string option_table_problem(std::span<const OptionSpec> specs);

}  // namespace penstock::config
