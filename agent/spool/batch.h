// Records of one commit, sorted into one run per lane. Pure.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/spool/types.h"

namespace penstock::spool {

// Consecutive records of a lane; a refused record between them ends a run and begins the next.
struct Run {
  LaneId lane = 0;
  Seq first = 0;
  uint32_t count = 0;
  int64_t newest_us = 0;
  std::string bytes;  // count times (varint length, body)
};

struct Batch {
  std::vector<Run> runs;
  std::vector<const Pending*> refused;                 // straight to quarantine; borrowed
  std::vector<std::pair<LaneId, Seq>> committed;       // per lane its last record here
  std::vector<std::pair<SourceId, uint64_t>> durable;  // per source its last record here
  size_t records = 0;
  uint64_t bytes = 0;  // of bodies
};

// `records` in arrival order; per lane their seq ascends without gaps.
Batch make_batch(std::span<const Pending* const> records);

}  // namespace penstock::spool
