#include "plugins/serial/poller.h"

#include <algorithm>
#include <utility>

namespace penstock::serial {
namespace {

// Address and function; a device that cannot serve sets the top bit of the function.
bool modbus_answers(std::string_view request, std::string_view frame) {
  return frame.size() >= 2 && request.size() >= 2 && frame[0] == request[0] &&
         (frame[1] & 0x7F) == (request[1] & 0x7F);
}

}  // namespace

Poller::Poller(std::vector<PollRequest> requests)
    : requests_(std::move(requests)), states_(requests_.size()) {}

void Poller::begin(int64_t now_us) {
  under_way_.reset();
  for (auto& state : states_) state = {now_us, 0};
}

const PollRequest* Poller::next(int64_t now_us) {
  if (under_way_ || states_.empty()) return nullptr;
  const auto first =
      std::min_element(states_.begin(), states_.end(),
                       [](const State& a, const State& b) { return a.due_us < b.due_us; });
  if (first->due_us > now_us) return nullptr;
  under_way_ = static_cast<size_t>(first - states_.begin());
  sent_us_ = now_us;
  return &requests_[*under_way_];
}

const PollRequest* Poller::answered(std::string_view frame, int64_t now_us) {
  if (!under_way_) return nullptr;
  const auto& request = requests_[*under_way_];
  const bool matches =
      request.modbus ? modbus_answers(request.bytes, frame) : frame.starts_with(request.reply);
  if (!matches) return nullptr;
  states_[*under_way_].misses = 0;
  done(now_us);
  return &request;
}

bool Poller::expire(int64_t now_us) {
  if (!under_way_ || now_us < sent_us_ + requests_[*under_way_].timeout_us) return false;
  ++states_[*under_way_].misses;
  done(now_us);
  return true;
}

void Poller::done(int64_t now_us) {
  const auto& request = requests_[*under_way_];
  auto& state = states_[*under_way_];
  int64_t pause_us = request.every_us;
  for (int miss = kPatience; miss <= state.misses && pause_us < kLongestPauseUs; ++miss)
    pause_us = std::min(pause_us * 2, std::max(kLongestPauseUs, request.every_us));
  // On its beat; what is late does not bunch up.
  state.due_us = std::max(sent_us_ + pause_us, now_us);
  under_way_.reset();
}

std::optional<int64_t> Poller::wake_us() const {
  if (under_way_) return sent_us_ + requests_[*under_way_].timeout_us;
  if (states_.empty()) return std::nullopt;
  return std::min_element(states_.begin(), states_.end(),
                          [](const State& a, const State& b) { return a.due_us < b.due_us; })
      ->due_us;
}

}  // namespace penstock::serial
