#include "plugins/serial/poller.h"

#include <algorithm>
#include <utility>

namespace penstock::serial {
namespace {

size_t quantity_of(std::string_view request) {
  return static_cast<size_t>(static_cast<uint8_t>(request[4])) << 8 |
         static_cast<uint8_t>(request[5]);
}

// The first `count` bytes: address, function and what it writes.
bool same_head(std::string_view a, std::string_view b, size_t count) {
  return a.size() >= count && b.size() >= count && a.substr(0, count) == b.substr(0, count);
}

bool has_bytes(std::string_view frame, size_t count) {
  return frame.size() >= 3 + count && static_cast<uint8_t>(frame[2]) == count;
}

}  // namespace

bool modbus_answers(std::string_view request, std::string_view frame) {
  if (frame.size() < 3 || request.size() < 2 || frame[0] != request[0]) return false;
  const auto function = static_cast<uint8_t>(request[1]);
  if (static_cast<uint8_t>(frame[1]) == (function | 0x80)) return true;
  if (frame[1] != request[1]) return false;
  const bool whole = request.size() >= 6;
  switch (function) {
    case 1:
    case 2:
      return frame != request && (!whole || has_bytes(frame, (quantity_of(request) + 7) / 8));
    case 3:
    case 4:
      return frame != request && (!whole || has_bytes(frame, quantity_of(request) * 2));
    case 5:
    case 6:
      return same_head(request, frame, 6);
    case 8:
      return same_head(request, frame, 4);
    case 15:
    case 16:
      return frame != request && same_head(request, frame, 6);
    default:
      return frame != request;
  }
}

Poller::Poller(std::vector<PollRequest> requests)
    : requests_(std::move(requests)), states_(requests_.size()) {}

void Poller::begin(int64_t now_us) {
  under_way_.reset();
  settled_us_ = settle_limit_us_ = now_us;
  for (auto& state : states_) state = {now_us, 0};
}

const PollRequest* Poller::next(int64_t now_us) {
  if (under_way_ || states_.empty() || now_us < settled_us_) return nullptr;
  const auto first =
      std::min_element(states_.begin(), states_.end(),
                       [](const State& a, const State& b) { return a.due_us < b.due_us; });
  if (first->due_us > now_us) return nullptr;
  under_way_ = static_cast<size_t>(first - states_.begin());
  sent_us_ = now_us;
  return &requests_[*under_way_];
}

const PollRequest* Poller::answered(std::string_view frame, int64_t now_us) {
  if (!under_way_) {
    heard(now_us);
    return nullptr;
  }
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
  settle_us_ = requests_[*under_way_].timeout_us / 2;
  settle_limit_us_ = now_us + settle_us_ * kMostSettles;
  settled_us_ = now_us + settle_us_;
  done(now_us);
  return true;
}

void Poller::heard(int64_t now_us) {
  if (now_us < settled_us_) settled_us_ = std::min(now_us + settle_us_, settle_limit_us_);
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
  const auto first =
      std::min_element(states_.begin(), states_.end(),
                       [](const State& a, const State& b) { return a.due_us < b.due_us; });
  return std::max(first->due_us, settled_us_);
}

}  // namespace penstock::serial
