#include "tests/support/verdict.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace penstock::test {

bool within_any(std::span<const Window> windows, int64_t at_us) {
  return std::any_of(windows.begin(), windows.end(),
                     [at_us](const Window& window) { return window.holds(at_us); });
}

std::vector<Window> reaching_back(std::span<const Outage> outages,
                                  const std::map<uint64_t, int64_t>& sent,
                                  const std::map<int64_t, uint32_t>& landed) {
  std::vector<Window> windows;
  for (const auto& outage : outages) {
    Window window{outage.down.from_us - outage.at_most_us, outage.down.to_us};
    for (const auto& [id, at_us] : sent) {
      if (at_us > outage.down.from_us) break;
      if (landed.contains(static_cast<int64_t>(id)))
        window.from_us = std::max(window.from_us, at_us + 1);
    }
    windows.push_back(window);
  }
  return windows;
}

TableVerdict judge(std::string table, std::string source, const std::map<uint64_t, int64_t>& sent,
                   const std::map<int64_t, uint32_t>& landed, std::span<const Window> down) {
  TableVerdict verdict;
  verdict.table = std::move(table);
  verdict.source = std::move(source);
  verdict.sent = sent.size();
  verdict.landed = landed.size();
  for (const auto& [id, rows] : landed) verdict.duplicates += rows - 1;
  for (const auto& [id, at_us] : sent) {
    if (landed.contains(static_cast<int64_t>(id))) continue;
    if (within_any(down, at_us)) {
      ++verdict.lost_while_down;
      continue;
    }
    ++verdict.missing;
    if (verdict.missing_ids.size() < 20) verdict.missing_ids.push_back(id);
  }
  return verdict;
}

std::optional<int64_t> percentile(std::vector<int64_t> values, double p) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(std::ceil(p / 100.0 * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

}  // namespace penstock::test
