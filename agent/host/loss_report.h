// What an input or the intake has lost, in words, from two looks at its counters. Pure.
//
// A loss is a record that came and is in no table later: dropped, or kept only as a head in the
// quarantine. Counters are totals since the start of the agent; said is what was added between the
// looks, so that a loss shows up once and a quiet input says nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace penstock::host {

using LossCounts = std::vector<std::pair<std::string, uint64_t>>;  // name, total

// "kernel_drops 12 (40 in all), oversize 1 (1 in all)"; empty when nothing was added. A counter
// that is not in `before` counts from zero; one that went back has begun anew.
std::string loss_text(const LossCounts& before, const LossCounts& now);

}  // namespace penstock::host
