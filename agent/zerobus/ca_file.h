// The file with the certificates that a destination's server is checked against.
#pragma once

#include <string>

#include "agent/base/result.h"

namespace penstock::zerobus {

// Its text. kTransient, naming the file: it cannot be read or holds no certificate in PEM, which
// may pass (a volume that is mounted late, a file that is being replaced).
Result<std::string> read_ca_file(const std::string& file);

}  // namespace penstock::zerobus
