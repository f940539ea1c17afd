#include "agent/lane/stream_turns.h"

#include <algorithm>
#include <utility>

namespace penstock::lane {

StreamTurns::Ticket StreamTurns::ask(Callbacks callbacks, MonoTime now) {
  const Ticket ticket = ++last_;
  if (held_.size() < max_ && queue_.empty()) {
    held_[ticket].callbacks = std::move(callbacks);
  } else {
    queue_.push_back({ticket, std::move(callbacks)});
    call_back(now);
  }
  return ticket;
}

void StreamTurns::opened(Ticket ticket, MonoTime now) {
  const auto found = held_.find(ticket);
  if (found == held_.end() || found->second.open) return;
  found->second.open = true;
  found->second.since = found->second.last_used = now;
}

void StreamTurns::used(Ticket ticket, bool at_rest, MonoTime now) {
  const auto found = held_.find(ticket);
  if (found == held_.end()) return;
  // To stay at rest is no use of it.
  if (!at_rest || !found->second.at_rest) found->second.last_used = now;
  found->second.at_rest = at_rest;
  look(now);
}

void StreamTurns::look(MonoTime now) {
  if (!queue_.empty()) call_back(now);
}

void StreamTurns::give_back(Ticket ticket, MonoTime now) {
  if (held_.erase(ticket) == 0) {
    std::erase_if(queue_, [&](const Waiting& one) { return one.ticket == ticket; });
    return;
  }
  while (!queue_.empty() && held_.size() < max_) {
    Waiting next = std::move(queue_.front());
    queue_.pop_front();
    auto& held = held_[next.ticket];
    held.callbacks = std::move(next.callbacks);
    held.callbacks.granted();
  }
  if (!queue_.empty()) call_back(now);
}

// One stream for each that waits; in place of one that is late, one at rest.
void StreamTurns::call_back(MonoTime now) {
  size_t going = 0;
  size_t late = 0;
  for (const auto& [ticket, held] : held_) {
    if (held.called_back) ++(now - *held.called_back >= turn_ ? late : going);
  }
  for (; going < queue_.size(); ++going) {
    Held* const next = next_to_go(now, going + late >= queue_.size());
    if (next == nullptr) return;
    next->called_back = now;
    next->callbacks.called_back();
  }
}

StreamTurns::Held* StreamTurns::next_to_go(MonoTime now, bool only_at_rest) {
  Held* resting = nullptr;
  Held* longest = nullptr;
  for (auto& [ticket, held] : held_) {
    if (!held.open || held.called_back) continue;
    if (held.at_rest && (!resting || held.last_used < resting->last_used)) resting = &held;
    if (now - held.since >= turn_ && (!longest || held.since < longest->since)) longest = &held;
  }
  return resting || only_at_rest ? resting : longest;
}

}  // namespace penstock::lane
