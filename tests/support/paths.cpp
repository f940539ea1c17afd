#include "tests/support/paths.h"

namespace penstock::test {

const std::string& build_dir() {
  static const std::string dir = PENSTOCK_BUILD_DIR;
  return dir;
}

const std::string& source_dir() {
  static const std::string dir = PENSTOCK_SOURCE_DIR;
  return dir;
}

}  // namespace penstock::test
