#include "tests/e2e/payloads.h"

#include <cmath>

#include "tests/support/wall_clock.h"

namespace penstock::e2e {
namespace {

// A slow wave, so that the rows look like a measurement.
double wave(uint64_t n, double middle, double swing) {
  return middle + swing * std::sin(static_cast<double>(n) / 50.0);
}

std::string start(uint64_t n) { return "{\"n\":" + std::to_string(n); }

}  // namespace

std::string telemetry_payload(uint64_t n) {
  return start(n) + ",\"t\":" + std::to_string(test::wall_us() / 1000) +
         ",\"v\":" + std::to_string(wave(n, 20, 5)) + "}";
}

std::string alarm_payload(uint64_t n) {
  return start(n) + ",\"code\":" + std::to_string(100 + n % 7) + R"(,"message":"pressure high"})";
}

std::string vibration_payload(uint64_t n) {
  return start(n) + ",\"rms\":" + std::to_string(wave(n, 0.8, 0.3)) + "}";
}

std::string scale_payload(uint64_t n) {
  return start(n) + ",\"kg\":" + std::to_string(wave(n, 500, 120)) + "}";
}

}  // namespace penstock::e2e
