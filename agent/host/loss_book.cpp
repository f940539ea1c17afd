#include "agent/host/loss_book.h"

#include <algorithm>
#include <sstream>

namespace penstock::host {
namespace {

uint64_t& count_of(LossCounts& counts, const std::string& name) {
  const auto found = std::find_if(counts.begin(), counts.end(),
                                  [&](const auto& one) { return one.first == name; });
  return found != counts.end() ? found->second : counts.emplace_back(name, 0).second;
}

}  // namespace

LossCounts parse_losses(std::string_view text) {
  LossCounts counts;
  for (std::istringstream lines{std::string(text)}; lines;) {
    std::string line;
    std::getline(lines, line);
    std::istringstream words(line);
    std::string name;
    std::string more;
    uint64_t total = 0;
    if (words >> name >> total && !(words >> more)) count_of(counts, name) = total;
  }
  return counts;
}

void LossBook::look(const LossCounts& now, bool say) {
  if (!std::exchange(read_, true)) said_ = totals_ = before_ = parse_losses(kept_.read());
  LossCounts totals = before_;
  for (const auto& [name, count] : now) count_of(totals, name) += count;
  std::erase_if(totals, [](const auto& one) { return one.second == 0; });
  if (totals != totals_) {
    totals_ = std::move(totals);
    keep();
  }
  if (!say) return;
  if (const auto text = loss_text(said_, totals_); !text.empty())
    log_.warning("lost since the last report: {}", text);
  said_ = totals_;
}

void LossBook::keep() {
  std::string text;
  for (const auto& [name, total] : totals_) text += name + " " + std::to_string(total) + "\n";
  const auto kept = kept_.write(text);
  if (!kept && !std::exchange(complained_, true))
    log_.warning("what it loses is counted for this run only: {}", kept.error().what);
}

}  // namespace penstock::host
