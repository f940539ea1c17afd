#include "agent/app/lasting_trouble.h"

#include <algorithm>
#include <utility>

namespace penstock::app {

std::vector<Trouble> LastingTrouble::due(std::vector<Trouble> troubled, MonoTime now) {
  std::vector<Trouble> again;
  std::map<std::string, MonoTime> said;
  for (auto& one : troubled) {
    const auto before = said_.find(one.who);
    const bool is_due = before != said_.end() && now - before->second >= every_;
    said[one.who] = before == said_.end() || is_due ? now : before->second;
    if (is_due) again.push_back(std::move(one));
  }
  said_ = std::move(said);
  return again;
}

Millis LastingTrouble::look_every() const {
  return std::clamp(every_ / 10, Millis(100), Millis(60'000));
}

}  // namespace penstock::app
