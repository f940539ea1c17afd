// The receive buffer that figures for UDP are measured with.
#pragma once

#include <cstdint>

#include "tests/bench/report.h"

namespace penstock::bench {

inline constexpr int kReceiveBufferBytes = 4 << 20;  // the input's default

// net.core.rmem_max of the package's sysctl.d file, in bytes.
int64_t shipped_receive_limit();

// Says how large it is here, and whether that is what the package's user gets.
void describe_receive_buffer(Report& report);

}  // namespace penstock::bench
