// Where the tests find what was built, and the checkout it was built from.
//
// Absolute, without a slash at the end; any thread. Functions rather than definitions on the
// command line: those differ between checkouts, and no compiler cache would serve two of them.
#pragma once

#include <string>

namespace penstock::test {

const std::string& build_dir();
const std::string& source_dir();

}  // namespace penstock::test
