// Poller: which request goes out on a line when, and which frame answers it.
//
// Pure: moments in, decisions out; one owner. One request is on the line at a time. A request that
// is not answered in its timeout is given up; after three such in a row its device is asked less
// and less often, until it answers, so that a silent one does not hold up the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::serial {

struct PollRequest {
  std::string name;     // attribute `poll` of the reply
  std::string bytes;    // as they go on the line
  std::string reply;    // what a reply begins with; empty: anything
  bool modbus = false;  // instead: a reply has the request's address and function
  int64_t every_us = 1'000'000;
  int64_t timeout_us = 500'000;
};

class Poller {
 public:
  static constexpr int kPatience = 3;  // timeouts in a row before backing off
  static constexpr int64_t kLongestPauseUs = 60'000'000;

  explicit Poller(std::vector<PollRequest> requests);

  bool wanted() const { return !requests_.empty(); }
  // The line is there, or there again: everything is due now, nothing is under way.
  void begin(int64_t now_us);
  // The request to send now, from here on under way; nothing: none is due or one is under way.
  const PollRequest* next(int64_t now_us);
  // The request that `frame` answers; nothing: it came unasked.
  const PollRequest* answered(std::string_view frame, int64_t now_us);
  // Gives up what is under way and over its time. True when it did.
  bool expire(int64_t now_us);
  // When next() or expire() will have something to do.
  std::optional<int64_t> wake_us() const;

 private:
  struct State {
    int64_t due_us = 0;
    int misses = 0;
  };
  void done(int64_t now_us);

  const std::vector<PollRequest> requests_;
  std::vector<State> states_;
  std::optional<size_t> under_way_;
  int64_t sent_us_ = 0;
};

}  // namespace penstock::serial
