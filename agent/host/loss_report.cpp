#include "agent/host/loss_report.h"

#include <algorithm>

#include <spdlog/fmt/fmt.h>

namespace penstock::host {

std::string loss_text(const LossCounts& before, const LossCounts& now) {
  std::string text;
  for (const auto& counted : now) {
    const auto& [name, total] = counted;
    const auto known = std::find_if(before.begin(), before.end(), [&counted](const auto& one) {
      return one.first == counted.first;
    });
    const uint64_t said = known == before.end() || known->second > total ? 0 : known->second;
    if (total == said) continue;
    text += fmt::format("{}{} {} ({} in all)", text.empty() ? "" : ", ", name, total - said, total);
  }
  return text;
}

}  // namespace penstock::host
