#include "agent/spool/seq_ranges.h"

#include <algorithm>

namespace penstock::spool {

void SeqRanges::add(SeqRange range) {
  if (range.empty()) return;
  auto it = last_by_first_.upper_bound(range.first);
  if (it != last_by_first_.begin() && std::prev(it)->second + 1 >= range.first) --it;
  while (it != last_by_first_.end() && it->first <= range.last + 1) {
    range.first = std::min(range.first, it->first);
    range.last = std::max(range.last, it->second);
    it = last_by_first_.erase(it);
  }
  last_by_first_.emplace(range.first, range.last);
}

std::optional<Seq> SeqRanges::last_of(Seq seq) const {
  auto it = last_by_first_.upper_bound(seq);
  if (it == last_by_first_.begin() || std::prev(it)->second < seq) return std::nullopt;
  return std::prev(it)->second;
}

std::vector<SeqRange> SeqRanges::missing_in(SeqRange range) const {
  std::vector<SeqRange> missing;
  while (!range.empty()) {
    if (const auto held = last_of(range.first)) {
      range.first = *held + 1;
      continue;
    }
    const auto next = last_by_first_.upper_bound(range.first);
    const bool open = next == last_by_first_.end() || next->first > range.last;
    const Seq last = open ? range.last : next->first - 1;
    missing.push_back({range.first, last});
    range.first = last + 1;
  }
  return missing;
}

bool SeqRanges::overlaps(SeqRange range) const {
  if (range.empty()) return false;
  const auto next = last_by_first_.lower_bound(range.first);
  return contains(range.first) || (next != last_by_first_.end() && next->first <= range.last);
}

std::vector<SeqRange> SeqRanges::all() const {
  std::vector<SeqRange> ranges;
  for (const auto& [first, last] : last_by_first_) ranges.push_back({first, last});
  return ranges;
}

uint64_t SeqRanges::count_in(SeqRange range) const {
  uint64_t count = 0;
  auto it = last_by_first_.upper_bound(range.first);
  if (it != last_by_first_.begin()) --it;
  for (; it != last_by_first_.end() && it->first <= range.last; ++it) {
    count += SeqRange{std::max(it->first, range.first), std::min(it->second, range.last)}.size();
  }
  return count;
}

uint64_t SeqRanges::take_up_to(Seq seq) {
  uint64_t taken = 0;
  while (!last_by_first_.empty() && last_by_first_.begin()->first <= seq) {
    const auto [first, last] = *last_by_first_.begin();
    last_by_first_.erase(last_by_first_.begin());
    taken += std::min(last, seq) - first + 1;
    if (last > seq) last_by_first_.emplace(seq + 1, last);
  }
  return taken;
}

}  // namespace penstock::spool
