// Where one stored segment is. Value.
#pragma once

#include <cstdint>

#include "agent/spool/types.h"

namespace penstock::spool {

struct IndexEntry {
  int64_t id = 0;  // key in table `seg` of its generation
  Seq first = 0;
  uint32_t count = 0;
  uint32_t bytes = 0;  // stored
  uint32_t generation = 1;
  Seq last() const { return first + count - 1; }
  SeqRange range() const { return {first, last()}; }
};

}  // namespace penstock::spool
