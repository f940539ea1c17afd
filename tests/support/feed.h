// One numbered stream of records a feeder sends: where to, how fast, what, and the log of what was
// sent.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/sent_log.h"

namespace penstock::test {

struct Feed {
  std::string topic;  // used by MQTT only
  double per_second = 1;
  std::function<std::string(uint64_t n)> payload;  // called on the feeder's thread; carries n
  SentLog* sent = nullptr;                         // borrowed; outlives the feeder
};

}  // namespace penstock::test
