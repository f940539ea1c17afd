// The judgement over one destination table: what was sent against what landed. Pure values.
//
// A source with acknowledgements (MQTT QoS 1) may lose nothing, ever. A source without (UDP,
// serial) loses what is sent while nobody listens and what sat in memory at a kill; such losses are
// counted apart, and only within the given windows (see reaching_back for how far a window holds).
// Everything else that did not land is `missing`, and that is a failure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace penstock::test {

struct Window {  // microseconds UTC, both ends included
  int64_t from_us = 0;
  int64_t to_us = 0;
  bool holds(int64_t at_us) const { return at_us >= from_us && at_us <= to_us; }
};

bool within_any(std::span<const Window> windows, int64_t at_us);

// A time without a listener, and how far before it records may still have been on their way to a
// commit.
struct Outage {
  Window down;
  int64_t at_most_us = 0;
};

// The windows in which a source that keeps its order may have lost records: from the last record
// that landed before an outage, however late the kernel or the agent was with what followed, to its
// end. A hole with a landed record between it and the outage is in no window.
std::vector<Window> reaching_back(std::span<const Outage> outages,
                                  const std::map<uint64_t, int64_t>& sent,
                                  const std::map<int64_t, uint32_t>& landed);

struct TableVerdict {
  std::string table;
  std::string source;
  uint64_t sent = 0;
  uint64_t landed = 0;      // unique
  uint64_t duplicates = 0;  // rows beyond the first of each number
  uint64_t missing = 0;
  uint64_t lost_while_down = 0;
  std::vector<uint64_t> missing_ids;  // the first 20, for the message
};

// `down`: when the agent was down; pass none for a source that may lose nothing.
TableVerdict judge(std::string table, std::string source, const std::map<uint64_t, int64_t>& sent,
                   const std::map<int64_t, uint32_t>& landed, std::span<const Window> down);

// Nearest-rank percentile, 0 < p <= 100; nothing for no values.
std::optional<int64_t> percentile(std::vector<int64_t> values, double p);

}  // namespace penstock::test
