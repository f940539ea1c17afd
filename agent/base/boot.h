// Which boot of the machine this is, and how long ago it began.
#pragma once

#include <cstdint>
#include <string>

namespace penstock {

// The kernel's, another one with every boot; "unknown" where it is not shown.
std::string boot_id();

// Microseconds, time asleep included (CLOCK_BOOTTIME). Also in a signal handler.
int64_t since_boot_us();

}  // namespace penstock
