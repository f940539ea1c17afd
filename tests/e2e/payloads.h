// The JSON the feeders send: each carries its number `n`. Pure apart from the clock in telemetry.
#pragma once

#include <cstdint>
#include <string>

namespace penstock::e2e {

std::string telemetry_payload(uint64_t n);
std::string alarm_payload(uint64_t n);
std::string vibration_payload(uint64_t n);
std::string scale_payload(uint64_t n);

}  // namespace penstock::e2e
