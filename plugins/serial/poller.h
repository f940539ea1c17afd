// Poller: which request goes out on a line when, and which frame answers it.
//
// Pure: moments in, decisions out; one owner. One request is on the line at a time. A request that
// is not answered in its timeout is given up, and the next one waits until the line has been silent
// for half that time: a late reply would pass for the next request's. After three such in a row its
// device is asked less and less often, until it answers, so that a silent one does not hold up the
// others.
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
  bool modbus = false;  // instead: what the protocol says of the request's reply
  int64_t every_us = 1'000'000;
  int64_t timeout_us = 500'000;
};

// Whether `frame` can be the reply to `request`, which is what the MODBUS Application Protocol
// (V1.1b3) lets one see: address and function (a device that cannot serve sets its top bit), for a
// reading as many bytes as were asked for, for a writing what was written. The request itself,
// which an adapter may echo, is none, but with the functions whose reply it is (5, 6, 8).
bool modbus_answers(std::string_view request, std::string_view frame);

class Poller {
 public:
  static constexpr int kPatience = 3;  // timeouts in a row before backing off
  static constexpr int64_t kLongestPauseUs = 60'000'000;
  static constexpr int kMostSettles = 4;  // a line that is never silent does not stop the asking

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
  void heard(int64_t now_us);

  const std::vector<PollRequest> requests_;
  std::vector<State> states_;
  std::optional<size_t> under_way_;
  int64_t sent_us_ = 0;
  // After a timeout nothing is sent before settled_us_; each frame puts that off, to the limit.
  int64_t settled_us_ = 0;
  int64_t settle_us_ = 0;
  int64_t settle_limit_us_ = 0;
};

}  // namespace penstock::serial
