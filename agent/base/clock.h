// Time as a value. Deciding code takes `Now` (or one of its members) as a parameter; only drivers
// call read_clock().
#pragma once

#include <chrono>
#include <cstdint>

namespace penstock {

using MonoTime = std::chrono::steady_clock::time_point;
using Millis = std::chrono::milliseconds;

struct Now {
  MonoTime mono;        // monotonic within a boot: deadlines, delays, ages
  int64_t wall_us = 0;  // microseconds since 1970-01-01 UTC, as the system believes
};

// Any thread. Two system calls at most.
Now read_clock();

}  // namespace penstock
